"""Who works on a stack: the only lock is the engine's own, waited for, and taken over when its holder is gone.

`waiting` is what commands use; `engine_locks` reads the locks, `liveness` says whether their engines still run, with
`ci_run` for those of GitHub Actions; `document` shows both.
"""
