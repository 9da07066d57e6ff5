"""One module per command: its options and exit codes. What it does is imported when it runs."""
