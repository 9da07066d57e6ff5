"""Measures Slipway against its peers in one run on one machine; `make bench` writes results.md and results.json.

Owns: what is measured, and beside what. Does not own: test hosts and stacks (tests/), or what is good enough (the
issues and README say that). Every figure is a ratio of medians from the same run, or a plain count.
"""
