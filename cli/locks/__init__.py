"""Who works on a stack: one operation at a time, and none that needs a hand after its process died.

`operation` is what commands use. `records` keeps a record of the operation in the backend, `engine_locks` reads the
engine's own, `judging` says whether what holds them still lives, from what `machine` and `workflow` know; `place` is
where they are. `document` and `view` show it, `refusal` puts it into errors, `message` into the stack's history.
Depends on `cli.backend`, and on `cli.stack` for the engine.
"""
