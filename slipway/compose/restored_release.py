"""A release of before as an application: what a stack deploys when the setting `release` names a file with one.

Owns: reading such a file, and whether the release can run on this stack as it is now. Does not own: where the file
comes from (`slipway rollback`, `slipway show --release`), or whether its images can still be had: the hosts see that
before they touch anything. Images, Compose file and files are those of then; secrets, hosts and all other settings are
those of now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.application import Application
from slipway.compose.compose_config import project_on_hosts
from slipway.compose.git import Revision
from slipway.compose.release import Release
from slipway.compose.schema_check import release_checked
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["restored_application", "unfit"]

_AGAIN = "slipway show NUMBER --release > FILE (slipway history tells the numbers)"


def restored_application(settings: Settings, *, problems: Iterable[Problem] = ()) -> Application:
    """The application that the release in the file `settings.release` describes.

    Args:
        settings: the stack's settings.
        problems: what was found wrong before, to be told together.

    Raises:
        SlipwayError: when the file holds no release, it was changed, or this stack cannot run it.
    """
    release = _read(Path(settings.release))
    found = [*problems, *unfit(release, settings)]
    if found:
        raise SlipwayError(found)
    compose = {**release["compose"]}
    return Application(
        name=release["application"],
        stack=compose["name"],
        builds={},
        images=release["images"],
        document=compose,
        files=release["files"],
        secrets=tuple(release["secrets"]),
        entries=release["services"],
        revision=Revision(release["commit"], release["branch"]),
    )


def unfit(release: Mapping[str, Any], settings: Settings) -> Iterator[Problem]:
    """Why this stack, as it is now, cannot run `release`."""
    said = f"release {release['id']}"
    if release["compose"]["name"] != project_on_hosts(release["application"], settings.stack):
        yield Problem(
            f"{said} is one of {release['compose']['name']}, and this is stack {settings.stack}",
            "its domain, variables and volumes are those of another environment",
            "slipway promote --from STACK --to STACK takes a release to another environment",
        )
    for name in release["secrets"]:
        if name not in settings.secrets:
            yield Problem(
                f"secret {name} is missing ({said} needs it)",
                "its services could not start",
                f"openssl rand -base64 24 | pulumi config set --secret --path 'secrets.{name}'",
                "secret-missing",
                name,
            )
    hosts = [host.name for host in settings.hosts]
    for service, entry in release["services"].items():
        for host in entry["hosts"]:
            if host not in hosts:
                yield Problem(
                    f"{said} runs {service} on host {host}, which this stack does not have",
                    suggestion(host, hosts, "the service would run nowhere"),
                    "give the host its name back in the stack file, or deploy a release that runs on the hosts of now",
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
    if Release.identified(release).id != release["id"]:
        raise SlipwayError(
            f"release: {file} says {release['id']}, and its content is another release",
            "it was changed after it ran, so nothing about it is proven",
            _AGAIN,
        )
    return release
