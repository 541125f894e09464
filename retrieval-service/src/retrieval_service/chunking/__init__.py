"""Cuts documents into passages along their structure."""
