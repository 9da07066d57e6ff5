"""Where a preview is put on GitHub: the one comment of a pull request, and the issue of a stack that drifted."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import typer

from slipway.cli.deploy.markdown import code, shortened
from slipway.cli.deploy.preview_view import in_markdown
from slipway.contract.problems import SlipwayError
from slipway.releases.github import required_repository
from slipway.settings.deploy_origin import run_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.releases.engine import Engine
    from slipway.releases.github import Repository

__all__ = ["close_issue", "post", "pull_request"]

_MOST = 65_536  # characters of a comment or an issue: longer ones are refused
_MARK = "<!-- slipway preview -->\n"
_STACK = re.compile(r"^<!-- stack (\S+) -->\n", re.MULTILINE)
_LABEL = "drift"


def post(engine: Engine, document: Mapping[str, Any] | None, *, comment: bool, issue: bool) -> None:
    """Put a preview where it is wanted; None: it failed. Raises `SlipwayError` when GitHub refuses."""
    repository = required_repository("", engine.root, os.environ) if comment or issue else None
    if repository and comment:
        typer.echo(f"comment: {repository.comment(pull_request(), _MARK, _sections(engine.short, document))}", err=True)
    if repository and issue:
        needed = document is None or bool(document["changes"] or document["unplanned"])
        _have_issue(
            repository, engine.short, shortened(_body(engine.short, document), _MOST, _rest()) if needed else ""
        )


def close_issue(engine: Engine) -> None:
    """Close the stack's issue of drift if it is open. Raises as `post`."""
    _have_issue(required_repository("", engine.root, os.environ), engine.short, "")


def _have_issue(repository: Repository, stack: str, text: str) -> None:
    if address := repository.issue(f"Drift: stack {stack}", _LABEL, text):
        typer.echo(f"issue {'open' if text else 'closed'}: {address}", err=True)


def pull_request() -> int:
    """The number of the pull request that this job is of. Raises `SlipwayError` in any other."""
    found = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
    if found is None:
        what = "--comment: this is no job of a pull request (GITHUB_REF)"
        raise SlipwayError(what, "there is nothing to comment on", "slipway preview --markdown")
    return int(found[1])


def _sections(stack: str, document: Mapping[str, Any] | None) -> Callable[[str], str]:
    """What makes a new comment of the present one: the stack's own section is another, those of others stay."""
    text = _body(stack, document)

    def made(now: str) -> str:
        parts = _STACK.split(now)
        sections = {**dict(zip(parts[1::2], parts[2::2], strict=True)), stack: text}
        share = (_MOST - len(_MARK)) // len(sections)
        return "".join(_section(name, sections[name], share) for name in sorted(sections))

    return made


def _section(stack: str, text: str, most: int) -> str:
    head = f"<!-- stack {stack} -->\n"
    return f"{head}{shortened(text.rstrip(), most - len(head) - 2, _rest())}\n\n"


def _body(stack: str, document: Mapping[str, Any] | None) -> str:
    if document is None:
        return f"### Preview of {code(stack)}\n\n❌ The preview failed: {_log()}."
    return f"{in_markdown(document)}\n\n<sub>{_log()}</sub>"


def _log() -> str:
    return f"[log of the run]({run_url()})" if run_url() else "the run's log says why"


def _rest() -> str:
    return f"_The rest is too long for GitHub: {_log()}._"
