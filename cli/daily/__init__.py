"""Daily work on a stack's hosts: what runs, what it says, and commands inside of it."""
