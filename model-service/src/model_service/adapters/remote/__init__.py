"""What engines on other machines share: bounded slots, stop strings, chat templates, cards."""
