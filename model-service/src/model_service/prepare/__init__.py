"""Bring models in: weights out of packages or folders, converted once, each with its card."""
