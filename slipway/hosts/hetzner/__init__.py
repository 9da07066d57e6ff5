"""Machines at Hetzner: what the state knows of them, what the provider says, and waiting until they can be used."""
