"""Who works on a stack: the only lock is the engine's own, waited for, and taken over when its holder is gone."""
