"""The edge: Traefik in front of every stack of this host."""
