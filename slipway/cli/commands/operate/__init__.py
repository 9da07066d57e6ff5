"""Commands that operate a running stack."""
