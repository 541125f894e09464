"""Answers that were given before, kept by tenant, model version and normalised request."""
