"""Slipway: takes a Compose application from source to a verified, running release on real servers."""
