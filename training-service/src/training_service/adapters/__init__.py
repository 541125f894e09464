"""The outside: records, the experiment tracker, model-service."""
