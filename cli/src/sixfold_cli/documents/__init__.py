"""Folders of documents and what a store has of them. Heavy imports stay inside the functions."""
