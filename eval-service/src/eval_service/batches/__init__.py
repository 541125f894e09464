"""OpenAI's batches: a list of requests that is worked off."""
