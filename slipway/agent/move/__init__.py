"""Taking over from a Compose project that ran here before, and giving back to it."""
