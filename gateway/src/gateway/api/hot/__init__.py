"""The routes that carry tokens: raw ASGI, no framework."""
