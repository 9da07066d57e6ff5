"""`slipway init`: from an application's Compose file to stack files and stacks. Deploys nothing."""
