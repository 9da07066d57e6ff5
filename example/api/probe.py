"""The health checks of the Python containers: standard library only, quick to start, one line of output.

    python probe.py http http://127.0.0.1:8000/health    healthy while the answer is 200
    python probe.py heartbeat 10                         healthy while $HEARTBEAT_FILE is younger than 10 s

The line tells what was probed and what came back; Docker keeps it as the health check's log.
"""

import http.client
import os
import sys
import time

TIMEOUT_SECONDS = 3
SHOWN = 400


def probe_http(url: str) -> tuple[bool, str]:
    """Whether a GET answers 200, and the answer."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"{url}: {error}"
    finally:
        connection.close()
    return response.status == http.client.OK, f"{url}: {response.status} {body[:SHOWN]}"


def probe_heartbeat(limit: float) -> tuple[bool, str]:
    """Whether the heartbeat file is younger than `limit` seconds, and its age."""
    path = os.environ["HEARTBEAT_FILE"]
    try:
        age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - pathlib would double the start-up time
    except FileNotFoundError:
        return False, f"{path}: no heartbeat yet"
    return age < limit, f"{path}: {age:.1f} s old (limit {limit:g} s)"


def main(arguments: list[str]) -> int:
    """Run one probe; the exit status Docker expects."""
    match arguments:
        case ["http", url]:
            healthy, line = probe_http(url)
        case ["heartbeat", limit]:
            healthy, line = probe_heartbeat(float(limit))
        case _:
            healthy, line = False, __doc__
    print(line)  # noqa: T201 - its output is the health check's log
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
