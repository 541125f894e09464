"""Data sets: rows that were read, checked, cleaned, split and frozen."""
