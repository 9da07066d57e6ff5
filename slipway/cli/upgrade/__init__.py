"""`slipway upgrade`: another version of the package, and what it needs in a project's stack files."""
