"""The edge: proto to domain and back."""
