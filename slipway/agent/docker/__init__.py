"""Docker on this host: its API, Compose, and what they say is true now."""
