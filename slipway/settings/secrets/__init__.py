"""What counts as a secret: by its name, its value, its form."""
