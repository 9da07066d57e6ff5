"""What happened to a stack: from the engine's history, the states after its updates and the hosts' ledgers.

`ledgers` asks the hosts, `entry` is one event, `merging` puts the sources together (pure), `stack_history` reads all of
it, `document` is its JSON form, `view` its table.
"""
