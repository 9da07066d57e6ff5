"""What the commands on past releases print."""
