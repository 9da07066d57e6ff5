"""The Compose file as Compose itself reads it, with the values that the stack has, and those that it lacks."""
