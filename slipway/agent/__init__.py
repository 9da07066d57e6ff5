"""The agent: what Slipway runs on a host to make one stack's release so.

Standard library only, Python 3.9 or newer, shipped as one `.pyz`. It is handed a Deployment document on standard input
(`contract/deployment.schema.json`) and answers with a Report or a Probe (the other two schemas there).
"""
