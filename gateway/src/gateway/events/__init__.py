"""What the gateway tells the loop: one event for every request for tokens or vectors."""
