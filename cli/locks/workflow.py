"""Whether a run of GitHub Actions is over: what it left behind belongs to nobody then.

Owns: asking GitHub about one run. Does not own: what is done about it (see `judging`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["run_is_over"]

_SECONDS = 10
_API = "https://api.github.com"


def run_is_over(repository: str, run: int, environment: Mapping[str, str], *, attempt: int = 0) -> bool | None:
    """Whether a run has ended, however it did, or goes on as a later attempt; None when that cannot be asked.

    https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run: `status` is `completed` then.

    Args:
        repository: OWNER/NAME.
        run: number of the run.
        environment: where a token (GITHUB_TOKEN or GH_TOKEN; a public repository needs none) and the address of
            another GitHub (GITHUB_API_URL) are looked for.
        attempt: of the run, if it is known.
    """
    from github import Auth, Github  # noqa: PLC0415  # 0.3 s that only this look-up has to pay

    token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or ""
    try:
        with Github(
            base_url=environment.get("GITHUB_API_URL") or _API,
            auth=Auth.Token(token) if token else None,
            timeout=_SECONDS,
            retry=None,
            lazy=True,  # the repository itself is not asked for
        ) as client:
            found = client.get_repo(repository).get_workflow_run(run)
            return found.status == "completed" or 0 < attempt < found.run_attempt
    except Exception:  # noqa: BLE001  # no token, no network, no such run, not a run: each leaves it unknown
        return None
