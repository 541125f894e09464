"""A candidate's way to a name, and the way back."""
