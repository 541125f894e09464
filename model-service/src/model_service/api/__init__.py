"""The gRPC edge: proto to domain and back. No decisions."""
