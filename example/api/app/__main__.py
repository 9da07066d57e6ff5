"""`python -m app <role>`: the one way every container of the example starts."""

import logging
import signal
import sys
from typing import NoReturn

from app.errors import ExampleError

ROLES = ("api", "worker", "scheduler")


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def main(arguments: list[str]) -> int:
    """Run one role until it is told to stop; the exit status of the process."""
    # A container's first process ignores signals it has no handler for. Installed before the slow imports below, so
    # that a container which is stopped while it starts ends at once instead of after its whole grace period.
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it would tell its set-up at every health check
    try:
        match arguments:
            case ["api"]:
                from app.api import serve as run  # noqa: PLC0415 - each role imports only what it needs
            case ["worker"]:
                from app.worker import run  # noqa: PLC0415
            case ["scheduler"]:
                from app.scheduler import run  # noqa: PLC0415
            case _:
                print(f"usage: python -m app {{{','.join(ROLES)}}}", file=sys.stderr)  # noqa: T201 - usage text
                return 2
        run()
    except ExampleError as error:
        logging.getLogger("app").critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
