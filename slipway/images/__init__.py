"""Images: their digests, build layers that are kept, and what registries answer."""
