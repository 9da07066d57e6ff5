"""Service: one service on one host, for the eyes of whoever reads a preview; it changes nothing by itself.

Its inputs are what a person recognises, so `pulumi preview` says `~ web-1/api [diff: ~environment]`. The engine stores
inputs when a resource is registered: it is registered after its host's deployment, so that the state holds what was
proven, and a failed update shows its difference again.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_command import local

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FingerprintKey", "Service"]


class FingerprintKey(pulumi.ComponentResource):
    """The stack's own random key, encrypted in its state: without it nobody can try values against fingerprints."""

    key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("slipway:deployment:FingerprintKey", name, None, opts)
        made = local.Command(
            f"{name}-fingerprint-key",
            create="head -c 32 /dev/urandom | od -A n -t x1 | tr -d ' \\n'",
            logging=local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["stdout"]),
        )
        self.key = made.stdout
        self.register_outputs({})

    def of(self, values: Mapping[str, str]) -> pulumi.Output[dict[str, str]]:
        """Name → fingerprint of its value, which shows that a value changed and not what it is."""

        def fingerprints(key: str) -> dict[str, str]:
            if not key:  # a machine without `od`: without a key they could be guessed
                return dict.fromkeys(values, "unknown")
            return {
                name: hmac.new(key.encode(), f"{name}={value}".encode(), "sha256").hexdigest()[:16]
                for name, value in values.items()
            }

        return pulumi.Output.unsecret(self.key.apply(fingerprints))


class Service(pulumi.ComponentResource):
    """What a release makes of one service on one host."""

    def __init__(self, name: str, inputs: Mapping[str, pulumi.Input[Any]], opts: pulumi.ResourceOptions) -> None:
        super().__init__("slipway:deployment:Service", name, dict(inputs), opts)
        self.register_outputs({})
