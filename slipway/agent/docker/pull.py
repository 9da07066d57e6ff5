"""Images: pulls what is missing by digest, side by side, and verifies all of it before anything live is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.contract.http_answers import WAY_OUT, limited
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.output import Output
    from slipway.contract.deployment import Registry

__all__ = ["credentials_for", "explain", "fetch", "missing", "registry_of", "without_tag"]

_AT_ONCE = 4
_TRIES = 2
_HUB = "docker.io"
_OUT_OF_REACH = (
    "connection refused", "no such host", "timeout", "unreachable", "server gave http", "reset", "eof", "lookup",
    "context deadline", "dial", "500 internal", "502", "503",
)  # fmt: skip
_HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io", "")


def without_tag(reference: str) -> str:
    """`name:tag@digest` as `name@digest`: the tag says which commit built it, the digest what it is."""
    name, at, digest = reference.partition("@")
    head, colon, last = name.rpartition(":")
    return (head if at and colon and "/" not in last else name) + at + digest


def missing(api: DockerApi, images: Sequence[str]) -> list[str]:
    return [image for image in images if api.image(without_tag(image)) is None]


def fetch(
    images: Sequence[str],
    *,
    api: DockerApi,
    registries: Sequence[Registry],
    architecture: str,
    deadline: Deadline,
    out: Output,
) -> None:
    """Have every image here and verified."""
    absent = missing(api, images)
    failures: list[SlipwayError] = []
    waiting = iter(absent)  # each thread takes the next one

    def work() -> None:
        client = api.again(timeout=max(60.0, deadline.seconds))
        while not failures and (image := next(waiting, None)) is not None:
            begin = runtime.monotonic()
            try:
                _pull(client, image, registries)
                out.progress("fetch", without_tag(image), runtime.monotonic() - begin)
            except SlipwayError as error:
                failures.append(error)
            except Exception as error:  # noqa: BLE001 - a thread's failure must reach the main one
                failures.append(explain(image, repr(error)))
        client.close()

    threads = [runtime.start_thread(work) for _ in range(min(_AT_ONCE, len(absent)))]
    while not failures and any(thread.is_alive() for thread in threads):
        deadline.pause(0.02)
    if failures:
        raise failures[0]
    for image in images:
        verify(image, api.image(without_tag(image)), architecture)


def verify(image: str, details: Mapping[str, Any] | None, architecture: str) -> None:
    """Raise unless the image is here, is the one with this digest, and runs on this machine."""
    digest = image.partition("@")[2]
    if details is None or not any(str(each).endswith(f"@{digest}") for each in details.get("RepoDigests") or ()):
        raise SlipwayError(
            f"image {image} was pulled but the engine does not list its digest",
            "what would run is not known to be this release",
            f"docker pull {image}",
        )
    if details.get("Architecture") not in (architecture, "", None):
        raise SlipwayError(
            f"image {image} is for {details['Architecture']}, this host is {architecture}",
            "its programs cannot run here",
            f"add linux/{architecture} to the platforms that are built",
        )


def registry_of(image: str) -> str:
    """The registry that a reference names, `docker.io` when it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _HUB


def credentials_for(image: str, registries: Sequence[Registry]) -> dict[str, str] | None:
    """What to log in with to pull `image`; None when nothing was given for its registry."""
    wanted = registry_of(image)
    for each in registries:
        address = each.address.partition("://")[2] or each.address
        address = address.partition("/")[0]
        if address == wanted or (wanted == _HUB and address in _HUB_NAMES):
            return {"username": each.username, "password": each.password, "serveraddress": each.address}
    return None


def _pull(api: DockerApi, image: str, registries: Sequence[Registry]) -> None:
    name, _, digest = without_tag(image).partition("@")
    for attempt in range(1, _TRIES + 1):
        message = ""
        try:
            for line in api.pull(name, digest, credentials_for(image, registries)):
                message = str(line.get("error") or message)
        except DockerError as error:
            message = error.message
        if not message:
            return
        failure = explain(image, message)
        if attempt == _TRIES or not isinstance(failure, _UnreachableError):
            raise failure
        runtime.sleep(1.0)


class _UnreachableError(SlipwayError):
    """The registry did not answer; worth a second try."""


def explain(image: str, message: str) -> SlipwayError:
    """The engine's words about a pull as an error that says what they mean."""
    registry, text = registry_of(image), "rate limit" if limited(message) else message.lower()
    reasons: tuple[tuple[Sequence[str], SlipwayError], ...] = (
        (("rate limit",), SlipwayError(
            f"registry {registry} lets this host pull no more for now (rate limit)",
            f"image {image} is not here; nothing live was touched", WAY_OUT,
        )),
        (("no space left",), SlipwayError(
            f"no space for image {image}", "the disk of this host is full; nothing live was touched",
            "docker system df",
        )),
        (("no matching manifest", "does not match the specified platform", "no match for platform"), SlipwayError(
            f"image {image} is not built for this host's architecture", "its programs cannot run here",
            "add this host's platform to the platforms that are built",
        )),
        (("unauthorized", "denied", "authentication required", "no basic auth", "forbidden"), SlipwayError(
            f"registry {registry} denied access to {image}", "the credentials are missing, wrong or too weak",
            f"check the registry user and password of this stack: docker login {registry}",
        )),
        (("not found", "manifest unknown", "name unknown"), SlipwayError(
            f"image {image} does not exist in {registry}", "it was never pushed, or was deleted there",
            "deploy a release whose images still exist, or build this one again",
        )),
        (_OUT_OF_REACH, _UnreachableError(
            f"registry {registry} cannot be reached from this host", f"image {image} cannot be fetched",
            f"curl -v http://{registry}/v2/ on this host",
        )),
        (("",), SlipwayError(
            f"image {image} cannot be pulled: {message}", "nothing live was touched",
            f"docker pull {without_tag(image)}",
        )),
    )  # fmt: skip
    error = next(error for words, error in reasons if any(word in text for word in words))
    error.add_evidence([f"the engine said: {message}"])
    return error
