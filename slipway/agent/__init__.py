"""What Slipway runs on a host: standard library only, Python 3.9 or newer, shipped as one `.pyz`."""
