"""Pulumi component resources, one a module; `slipway.components` in the wheel. Only `__main__.py` imports them."""
