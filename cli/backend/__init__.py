"""What the engine keeps of a stack, beyond what its own commands tell.

`store` opens the objects of a self-managed backend, `layout` knows their names, `updates` reads what the engine knows
of every update, `checkpoints` the state after each of them. Depends on nothing else of `cli` but `stack`.
"""
