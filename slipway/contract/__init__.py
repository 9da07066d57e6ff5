"""What driver and agent say to one another, each thing once: standard library, Python 3.9, packed with the agent."""

CONTRACT = 1
"""Version of the documents between them; a change that either side cannot ignore raises it."""
