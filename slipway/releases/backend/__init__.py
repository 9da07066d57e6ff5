"""What the engine keeps of a stack, beyond what its own commands print.

`store` opens the objects of a self-managed backend, `layout` knows their names, `checkpoints` reads the updates of a
stack and the state after each of them.
"""
