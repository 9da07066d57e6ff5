"""The settings of the stack that the engine is running."""

from __future__ import annotations

import atexit
import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret
from pydantic import SecretStr

from slipway.settings.load import collect_settings
from slipway.settings.model import ONLINE

if TYPE_CHECKING:
    from slipway.contract.problems import Problem
    from slipway.settings.model import Settings

__all__ = ["program_settings"]

atexit.register(gc.freeze)  # spares what every run waits for at its end: a collection of all that was imported

# The SDK would wait for the engine's answer to each of more than a hundred such messages: 0.1 s of every run.
pulumi.log.debug = lambda *_, **__: None


def program_settings() -> tuple[Settings, list[Problem]]:
    """Settings of the stack being previewed or updated, and everything that keeps them from being used.

    An update looks at its hosts whatever `preview` says; an offline preview has no use for their key.
    """
    configuration = {**get_config_env(), **CONFIG.get()}
    settings, problems = collect_settings(
        project=pulumi.get_project(),
        stack=pulumi.get_stack(),
        configuration=configuration,
        encrypted={*get_config_secret_keys_env(), *filter(is_config_secret, configuration)},
        root=Path.cwd(),  # the engine runs a program in the folder of Pulumi.yaml
    )
    if settings.preview == ONLINE:
        return settings, problems
    if not pulumi.runtime.is_dry_run():
        return settings.model_copy(update={"preview": ONLINE}), problems
    keyless = settings.model_copy(update={"ssh_key": SecretStr(""), "ssh_key_file": ""})
    return keyless, [each for each in problems if each.subject not in ("sshKey", "sshKeyFile")]
