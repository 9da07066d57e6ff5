"""`slipway doctor`: looking for whatever keeps a stack from being deployed. Changes nothing."""
