"""What happened to a stack, from the engine's history, the states after its updates and the hosts' ledgers."""
