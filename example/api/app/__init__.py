"""The Slipway example: one code base, run as `api`, `worker` or `scheduler`."""

__version__ = "1.0.0"
