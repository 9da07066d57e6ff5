"""A simulated machine for each test, in memory."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "fakes"))

from fake_machine import World
from simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World()
    found.install(monkeypatch)
    yield found
    found.time.bury()


@pytest.fixture
def stack(world: World, home: Path) -> Simulation:
    """A stack on a host of its own."""
    return Simulation(world.host("one", home))
