"""Search: how good it is on judged questions, and how quick beside its peers."""
