"""How a run of the engine is started and stopped, with a program of that name in its place."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = """\
#!/bin/sh
echo begun
exec sleep 30
"""

RUN = """\
import os, sys, time
from slipway.cli.deploy.engine_run import engine_run
with engine_run(["up"], os.environ) as run:
    while "begun" not in run.output:
        time.sleep(0.01)
    run.stop()
    sys.exit(-run.follow(lambda event: None, lambda: None))
"""


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL])
def test_an_engine_stops_also_when_its_parent_was_started_ignoring_the_signal(
    tmp_path: Path, disposition: signal.Handlers
) -> None:
    (tmp_path / "pulumi").write_text(ENGINE)
    (tmp_path / "pulumi").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, disposition),  # as a shell's `&` does
        timeout=20,
        check=False,
    )
    assert done.returncode == signal.SIGINT
