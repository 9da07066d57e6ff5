"""The one exception family of the example: what happened, what it means and what mends it."""


class ExampleError(Exception):
    """A condition that the person who runs the example can mend; shown without a traceback."""
