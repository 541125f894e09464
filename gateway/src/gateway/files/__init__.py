"""The tenant's files: received, kept, given out, deleted. No web framework, no database here."""
