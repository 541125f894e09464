"""Engines in processes of their own: started, spoken to over a socket, and started again when they end."""
