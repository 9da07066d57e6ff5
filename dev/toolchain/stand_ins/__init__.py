"""Images and root file systems made here where none can be pulled."""
