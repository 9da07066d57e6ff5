"""Deleting images from a registry: what any stack needs to run, or to go back to, stays."""
