"""The certificate for visitors who ask for no name that the edge knows, made by the driver.

Without one Traefik makes an RSA key at every change of a route, before the change is live (tls.Manager.UpdateConfigs).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.edge.static_config import DEFAULT_CERTIFICATE
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.problems import UsageError

if TYPE_CHECKING:
    from slipway.agent.output import Output

__all__ = ["accept_certificate"]

_LOCK_WAIT = 120.0  # another stack may be replacing the edge


def accept_certificate(content: bytes, out: Output) -> dict[str, Any]:
    """Keep the certificate and key (PEM) of this JSON for the edge of this host, which uses it once it starts.

    One that is there already stays: whoever came second meant the same.

    Raises:
        UsageError: this is no such JSON.
    """
    try:
        given = json.loads(content)
        certificate, key = str(given["certificate"]), str(given["key"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            "standard input is not a certificate with its key", "nothing was kept", "pulumi up hands one over"
        ) from None
    folder = EdgeFolder()
    with lock(folder.lock, owner=out.host, reason="a certificate", wait=_LOCK_WAIT):
        changed = not folder.has_certificate()
        if changed:
            folder.put(f"{DEFAULT_CERTIFICATE}.pem", certificate)
            folder.put(f"{DEFAULT_CERTIFICATE}.key", key)
    return {"contract": CONTRACT, "changed": changed}
