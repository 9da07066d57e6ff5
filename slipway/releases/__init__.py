"""What happened to a stack, and the way back: history, backends, locks, rollback, promotion, validation, bundles."""
