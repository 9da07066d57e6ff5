"""What makes and proves Slipway, and is never shipped."""
