"""The gateway against LiteLLM on one mock upstream."""
