"""The `slipway` command: what operators and workflows call. Comfort, never a step that only it can do right.

`main` is the entry point; each command is a module of its own under `commands/`. Nothing heavy is imported before a
command runs, so that help and usage errors come at once.
"""
