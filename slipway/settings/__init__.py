"""What a stack says: its settings, where they come from, rules over several of them, what counts as a secret."""
