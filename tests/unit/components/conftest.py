"""Property tests here repeat themselves from run to run, keep nothing on disk and do not mind a busy machine."""

from hypothesis import settings

settings.register_profile("slipway", database=None, deadline=None, derandomize=True, max_examples=50)
settings.load_profile("slipway")
