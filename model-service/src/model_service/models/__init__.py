"""The models of the service: which there are, what is known of each, and how each stands."""
