"""Real servers on one machine, for tests and benchmarks."""
