"""What this host keeps of a stack: its folder, ledger, journal and lock."""
