"""Bundles: one file from which a stack is imported again when its backend is lost."""
