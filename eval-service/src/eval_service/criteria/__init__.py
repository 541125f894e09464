"""What is asked of an answer: OpenAI's graders and our own, one result an item and criterion."""
