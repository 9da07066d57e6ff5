"""What `slipway host` shows of machines: what they have of the list, and what would change."""
