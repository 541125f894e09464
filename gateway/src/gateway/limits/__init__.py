"""How much a caller may ask for: requests and tokens per minute, and calls at once."""
