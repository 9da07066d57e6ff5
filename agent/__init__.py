"""The agent: what Slipway runs on a host to make one stack's release so.

Owns everything that happens on the host: facts, plan, steps, gates, record. Standard library only, Python 3.9 or
newer, shipped as one `.pyz`. Does not know where releases come from: it is handed a Deployment document on standard
input (see slipway/contract/schemas) and answers with a Report or a Probe.
"""
