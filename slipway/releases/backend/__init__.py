"""What the engine keeps of a stack in its backend, beyond what its own commands print."""
