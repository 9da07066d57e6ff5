"""What a stack deploys: its Compose file, or the earlier release in the file that the setting `release` names.

Of an earlier release, images, Compose file and files are those that it ran with; secrets, hosts and all other settings
are the current ones. Whether its images can still be pulled the hosts see before they touch anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.application import Application, read_application
from slipway.compose.git import Revision
from slipway.compose.schema_check import release_checked
from slipway.contract.canonical import release_id
from slipway.contract.host_paths import project_on_hosts
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.secrets.rules import missing_secret
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["application_of", "unfit"]

_AGAIN = "slipway history"


def application_of(settings: Settings, *, problems: Iterable[Problem] = ()) -> Application:
    """The application that `settings` name; `problems` found earlier are reported with its own.

    Raises:
        SlipwayError: with every problem of it, or when the file holds no release, it was changed, or does not fit.
    """
    if not settings.release:
        return read_application(settings, problems=problems)
    release = _read(Path(settings.release))
    found = [*problems, *unfit(release, settings)]
    if found:
        raise SlipwayError(found)
    return Application(
        name=release["application"],
        stack=release["compose"]["name"],
        builds={},
        images=release["images"],
        document=release["compose"],
        files=release["files"],
        secrets=tuple(release["secrets"]),
        entries=release["services"],
        revision=Revision(release["commit"], release["branch"]),
    )


def unfit(release: Mapping[str, Any], settings: Settings) -> Iterator[Problem]:
    """Why this stack, as it is now, cannot run `release`."""
    said = f"release {release['id']}"
    source = release["compose"]["name"].removeprefix(f"{release['application']}-")
    if release["compose"]["name"] != project_on_hosts(release["application"], settings.stack):
        yield Problem(
            f"{said} is one of {release['compose']['name']}, and this is stack {settings.stack}",
            "its domain, variables and volumes are those of another environment; promoting it gives it this one's",
            f"slipway promote --from {source} --to {settings.stack}",
        )
    for name in release["secrets"]:
        if name not in settings.secrets:
            yield missing_secret(settings.stack, name, f"{said} needs it", "its services could not start")
    hosts = [host.name for host in settings.hosts]
    for service, entry in release["services"].items():
        for host in entry["hosts"]:
            if host not in hosts:
                yield Problem(
                    f"{said} runs {service} on host {host}, which this stack does not have",
                    suggestion(host, hosts, "the service would run nowhere"),
                    "give the host its name back in the stack file, or deploy a release that runs on the current hosts",
                )


def _read(file: Path) -> dict[str, Any]:
    try:
        release: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SlipwayError(
            f"release: {file} cannot be read ({error.strerror})", "there is nothing to deploy", _AGAIN
        ) from None
    except ValueError:
        raise SlipwayError(f"release: {file} is not JSON", "it holds no release", _AGAIN) from None
    release_checked(release)
    if release_id(release) != release["id"]:
        raise SlipwayError(
            f"release: {file} says {release['id']}, and its content is another release",
            "it was changed after it ran, so nothing about it is proven",
            _AGAIN,
        )
    return release
