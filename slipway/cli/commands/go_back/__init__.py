"""Commands on the past, and the way back."""
