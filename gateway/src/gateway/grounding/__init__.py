"""Answers that stand on documents: passages chosen, quoted in the prompt, and cited."""
