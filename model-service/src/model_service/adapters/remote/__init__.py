"""What engines on other machines share: options, cards, stop strings."""
