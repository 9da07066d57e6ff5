"""What a stack is made of: one Pulumi component, or one pure concept, per module.

Pure concepts: `errors`, `settings`, `compose`, `extension`, `release`. Reaching hosts: `agent_package`, `connection`,
`probe`, `fleet`. Components: `images`, `host`, `deployment`. Nothing here imports `agent` or `cli`.
"""
