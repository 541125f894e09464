"""A file's way from its event to the index."""
