"""`x-slipway`: the few things that Compose has no word for."""
