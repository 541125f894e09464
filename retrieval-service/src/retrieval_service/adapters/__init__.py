"""The outside: Chroma, tantivy, records, model-service, the object store."""
