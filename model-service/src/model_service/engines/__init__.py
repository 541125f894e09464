"""What the service asks of an engine, whoever wrote it."""
