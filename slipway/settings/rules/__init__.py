"""What several settings say together, and may not."""
