"""An engine that records what a program registers and asks: Pulumi's mocks, with secrets told apart."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pulumi
from samples import DIGEST

_SIGNATURE = "4dabf18193072939515e22adb298388d"


class _Refused(grpc.RpcError):
    """How the engine hands on a provider's error."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return str(self)


class Recorded(pulumi.runtime.Mocks):
    """What was registered, by type and name.

    `stdout` is what every command prints; `digests` what the registries hold (everything when None), `refusal` their
    answer to anything else.
    """

    def __init__(
        self, *, stdout: str = "", digests: dict[str, str] | None = None, refusal: str = "manifest unknown"
    ) -> None:
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}
        self.looked_up: list[tuple[str, str | None]] = []
        self._stdout = stdout
        self._digests = digests
        self._refusal = refusal

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources[args.typ, args.name] = args.inputs
        outputs = dict(args.inputs)
        if args.typ == "docker-build:index:Image":
            outputs["ref"] = f"{args.inputs['tags'][0]}@{DIGEST}"
        if args.typ.startswith("command:"):
            outputs["stdout"] = self._stdout
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        assert args.token == "docker:index/getRegistryImage:getRegistryImage"
        name = args.args["name"]
        self.looked_up.append((name, args.provider or None))
        if self._digests is not None and name not in self._digests:
            raise _Refused(self._refusal)
        return {"name": name, "id": "x", "sha256Digest": (self._digests or {}).get(name, DIGEST)}

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs of the resources of one type, by name."""
        return {name: inputs for (typ, name), inputs in self.resources.items() if typ == kind}


def program(engine: Recorded, build: Callable[[], Any], *, preview: bool = False) -> Any:
    """Run a program; what its outputs came to (None for one that is not known)."""
    loop = asyncio.new_event_loop()  # another test's asyncio.run may have left none
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(engine, project="slipway", stack="test", preview=preview)
    found: list[Any] = []

    @pulumi.runtime.test
    def run() -> Any:
        async def value() -> None:
            outputs = build()
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            found.extend([await output.future() for output in outputs])

        return pulumi.Output.from_input(value())

    try:
        run()
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return found[0] if len(found) == 1 else tuple(found)


def is_secret(value: object) -> bool:
    return isinstance(value, dict) and _SIGNATURE in value


def plain(value: Any) -> Any:
    """The value of an input that may be a secret."""
    return value["value"] if is_secret(value) else value


def open_strings(value: Any) -> Iterator[str]:
    """Every string that an input shows in the clear."""
    if is_secret(value):
        return
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from open_strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from open_strings(each)
    elif isinstance(value, str):
        yield value
