"""The outside: model-service and the records."""
