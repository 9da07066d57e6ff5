"""Gets engine, plugins, Docker plugins and images for this machine.

Owns: what a machine must have before Slipway can run on it, and the cache that makes a second run quick.
Does not own: anything about an application, a stack or a host of the user's.
Official downloads come first; where they are blocked, the same pieces are built from package registries.
"""
