"""What may be said after measuring: intervals, paired tests, and a test that may be looked at any time."""
