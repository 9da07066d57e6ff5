"""Whether what was deployed answers its visitors: what to ask, the asking, and what was so the last time."""
