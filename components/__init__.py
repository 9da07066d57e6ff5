"""What a stack is made of: one Pulumi component, or one pure concept, per module.

Settings: `settings`, `values`, `sources`, `configuration`, `rules`, `secrecy`. The Compose file: `compose`,
`application`, `builds`, `definitions`, `extension`, `placement`, `shipped_files`, `disclosure`. What is deployed:
`git`, `release`, `contract`, `errors`. Reaching hosts: `agent_package`, `connection`, `probe`, `fleet`, `preflight`.
Components: `images` (with `caching`, `failed_build`, `registry_tags`), `host`, `deployment`. Nothing here imports
`agent` or `cli`.
"""
