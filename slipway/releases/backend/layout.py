"""Names of the objects that the engine keeps in a self-managed backend, and reading them; changes nothing there.

The layout is the engine's (github.com/pulumi/pulumi, pkg/backend/diy: store.go, state.go, lock.go; seen with 3.256).
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["locks_prefix", "names", "read"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, 2.3.1; RFC 8878, 3.1.1


def locks_prefix(project: str, stack: str) -> str:
    """Where the engine's locks of a stack are: one object per process that holds one."""
    return f".pulumi/locks/organization/{project}/{stack}/"


def names(store: ObjectStore, prefix: str) -> list[str]:
    """The objects below `prefix`, sorted by name. Raises `SlipwayError` when the store does not answer."""
    try:
        return sorted(entry["path"] for page in store.list(prefix.rstrip("/"), chunk_size=1000) for entry in page)
    except FileNotFoundError:
        return []
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        raise _unreadable(error) from None


def read(store: ObjectStore, name: str) -> bytes | None:
    """The content of an object, decompressed; None when there is none of that name, or it is cut short."""
    try:
        content = bytes(store.get(name).bytes())
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  # as above
        raise _unreadable(error) from None
    try:  # the engine, too, goes by the content, not by the name
        if content.startswith(_GZIP):
            return gzip.decompress(content)
        if content.startswith(_ZSTD):
            import zstandard  # noqa: PLC0415  # few backends compress, and fewer so

            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except Exception:  # noqa: BLE001  # each kind has errors of its own
        return None
    return content


def _unreadable(error: Exception) -> SlipwayError:
    return SlipwayError(
        f"the backend's objects cannot be read ({' '.join(str(error).split())[:300]})",
        "the stack's history is not known",
        "check the address and the credentials: pulumi whoami --verbose, then pulumi stack ls",
    )
