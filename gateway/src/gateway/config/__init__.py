"""The one readable file of the gateway, and its live reload."""
