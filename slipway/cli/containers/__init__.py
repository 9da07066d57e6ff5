"""What runs on a stack's hosts: listing containers, their logs, and commands inside of them."""
