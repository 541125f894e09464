"""What engines share: the bounded queue before them, and conversations as prompts."""
