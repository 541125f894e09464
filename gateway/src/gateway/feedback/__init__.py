"""What people think of answers: kept, and told to the services that learn from it."""
