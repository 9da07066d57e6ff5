"""What an application says: Compose's own reading of its file, and what of it a release is made of."""
