"""Names of the objects that the engine keeps in a self-managed backend, and reading them.

Owns: the engine's layout, as its source has it (github.com/pulumi/pulumi, pkg/backend/diy: store.go, state.go, lock.go;
seen with 3.256): history and locks per project and stack, checkpoints plain or compressed. Changes nothing there.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import ObjectStore

__all__ = [
    "decoded",
    "history_prefix",
    "inflated",
    "locks_prefix",
    "names",
    "read",
    "tags_object",
]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, 2.3.1; RFC 8878, 3.1.1


def history_prefix(project: str, stack: str) -> str:
    """Where the updates of a stack are kept: `STACK-NANOSECONDS.history.json` and `.checkpoint.json` of each."""
    return f".pulumi/history/{project}/{stack}/"


def locks_prefix(project: str, stack: str) -> str:
    """Where the engine's locks of a stack are: one object per process that holds one."""
    return f".pulumi/locks/organization/{project}/{stack}/"


def tags_object(project: str, stack: str) -> str:
    """The tags of a stack."""
    return f".pulumi/stacks/{project}/{stack}.pulumi-tags"


def names(store: ObjectStore, prefix: str) -> list[str]:
    """The objects below `prefix`, sorted by name.

    Raises:
        SlipwayError: when the store does not answer.
    """
    try:
        return sorted(entry["path"] for page in _pages(store, prefix) for entry in page)
    except FileNotFoundError:
        return []
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        raise _unreadable(error) from None


def read(store: ObjectStore, name: str) -> bytes | None:
    """The content of an object; None when there is none of that name.

    Raises:
        SlipwayError: when the store does not answer.
    """
    try:
        return bytes(store.get(name).bytes())
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  # as above
        raise _unreadable(error) from None


def decoded(name: str, content: bytes) -> Any:  # noqa: ANN401  # whatever the JSON holds
    """An object's JSON.

    Raises:
        SlipwayError: when it is not what the engine writes.
    """
    try:
        return json.loads(inflated(content))
    except ValueError as error:
        raise _unreadable(ValueError(f"{name.rsplit('/', 1)[-1]}: {error}")) from None


def inflated(content: bytes) -> bytes:
    """What an object holds, decompressed; the engine tells by the content, too, not by the name.

    Raises:
        ValueError: when it is cut short.
    """
    try:
        if content.startswith(_GZIP):
            return gzip.decompress(content)
        if content.startswith(_ZSTD):
            import zstandard  # noqa: PLC0415  # few backends compress, and fewer so

            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except Exception as error:  # noqa: BLE001  # each of them has errors of its own
        raise ValueError(str(error)) from None
    return content


def _pages(store: ObjectStore, prefix: str) -> Iterator[Any]:
    yield from store.list(prefix.rstrip("/"), chunk_size=1000)


def _unreadable(error: Exception) -> SlipwayError:
    text = " ".join(str(error).split())[:300]
    return SlipwayError(
        Problem(
            f"the backend's objects cannot be read ({text})",
            "the stack's history is not known",
            "check the address and the credentials: pulumi whoami --verbose, then pulumi stack ls",
        )
    )
