"""After a deployment: watching the release, keeping the old generation, rolling back without a driver."""
