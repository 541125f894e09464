"""Engines and their vendors. Only bootstrap chooses among them."""
