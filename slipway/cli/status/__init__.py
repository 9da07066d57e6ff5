"""What runs on the hosts, and the watch over it."""
