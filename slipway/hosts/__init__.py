"""Hosts: reaching them, the agent on them, and all of them forward or all back."""
