"""`python3 agent.pyz …` and `python -m slipway.agent …`."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - hosts run what they have
    sys.stderr.write(
        "slipway: error: Python %d.%d is too old - the agent needs 3.9 - install python3 3.9 or newer\n"  # noqa: UP031
        % sys.version_info[:2]
    )
    sys.exit(1)

from slipway.agent import runtime
from slipway.agent.command import main

runtime.forget_environment()
if sys.argv[1:2] == ["deploy"]:
    runtime.in_a_child()
sys.exit(main(sys.argv[1:]))
