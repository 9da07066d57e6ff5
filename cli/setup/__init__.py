"""Getting a copy of the program ready for an application, and looking for what keeps it from working.

`initialise` writes the stack files, `examination` looks at everything around a stack. Nothing here deploys anything.
"""
