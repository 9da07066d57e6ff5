"""What stack files have blocks of keys for: hosts, notifications, GitHub, Hetzner."""
