"""The `slipway` command: comfort for operators and workflows, never a step that only it can do right."""
