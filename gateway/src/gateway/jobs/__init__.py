"""Work that outlives a request: models that are trained, measured and released, and batches."""
