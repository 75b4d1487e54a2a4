"""What a queue's storage holds, and who works on it."""
