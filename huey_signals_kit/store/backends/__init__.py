"""One file for each kind of storage, and what they share."""
