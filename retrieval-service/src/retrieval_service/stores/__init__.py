"""Stores, their files and batches: what may happen to them, and the ports to their records."""
