"""A file whose age tells whether a process without a port is alive; `probe.py` reads it."""

from pathlib import Path

__all__ = ["Heartbeat"]


class Heartbeat:
    """The heartbeat file of this process; without a path, none is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def beat(self) -> None:
        """Say that the process works right now, which includes whatever it depends on."""
        if self._path is not None:
            self._path.touch()
