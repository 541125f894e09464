"""The edges: the contract's calls, and the events that canaries are judged by."""
