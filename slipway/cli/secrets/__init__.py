"""Secrets of a stack: imported from a file, or taken out of the Compose file."""
