"""Property tests here repeat themselves from run to run and do not mind a busy machine."""

from pathlib import Path

from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")
settings.register_profile("slipway", database=None, deadline=None, derandomize=True, max_examples=50)
settings.load_profile("slipway")
