"""The one exception family of the example: what happened, what it means and what fixes it."""


class ExampleError(Exception):
    """A condition that the person who runs the example can fix; shown without a traceback."""
