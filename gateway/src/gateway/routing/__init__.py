"""Which model of which service answers, and what happens when it does not."""
