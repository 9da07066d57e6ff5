"""Bundles: one file with all that brings a stack back when its backend is lost."""
