"""One release on this host: its document, its files, the Compose file made of it, and which ones are kept."""
