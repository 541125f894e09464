"""Reads foreign files in a child process with limits."""
