"""Embeddings with sentence-transformers on the CPU, in a process of their own.

Its imports take seconds and hundreds of megabytes; there they neither hold up the service nor stay
with it when the model is unloaded.
"""
