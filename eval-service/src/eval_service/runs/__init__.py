"""Measuring a target: rows in, items and figures out."""
