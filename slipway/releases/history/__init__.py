"""What happened to a stack: the engine's history, the states after its updates and the hosts' ledgers, put together."""
