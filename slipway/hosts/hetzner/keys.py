"""A server's public host key as its label at Hetzner: what is known of the server knows its key, too."""

from __future__ import annotations

import base64

__all__ = ["HOST_KEY_LABEL", "key_of_label", "label_of"]

HOST_KEY_LABEL = "slipway-host-key"
"""A server's label with its public host key: what is known of the server knows its key, too."""

_ALGORITHM = b"ssh-ed25519"
_BYTES = 32


def label_of(public: str) -> str:
    """A public host key as a label's value, which has up to 63 letters and digits."""
    return base64.b32encode(base64.b64decode(public.split()[1])[-_BYTES:]).decode().rstrip("=").lower()


def key_of_label(label: str) -> str:
    """The public host key in a label's value; empty where there is none."""
    try:
        key = base64.b32decode(label.upper() + "=" * (-len(label) % 8))
    except ValueError:
        return ""
    if len(key) != _BYTES:
        return ""
    fields = b"".join(len(each).to_bytes(4, "big") + each for each in (_ALGORITHM, key))  # RFC 4253, section 6.6
    return f"{_ALGORITHM.decode()} {base64.b64encode(fields).decode()}"
