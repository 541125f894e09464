"""Edges: proto to domain and back."""
