"""What a stack says of its repository on GitHub."""
