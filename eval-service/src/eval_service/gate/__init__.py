"""What a candidate must show before it may answer, and whether it did."""
