"""The settings of the stack that the engine is running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from slipway.settings.load import collect_settings

if TYPE_CHECKING:
    from slipway.contract.problems import Problem
    from slipway.settings.model import Settings

__all__ = ["program_settings"]


def program_settings() -> tuple[Settings, list[Problem]]:
    """Settings of the stack being previewed or updated, and everything that keeps them from being used."""
    configuration = {**get_config_env(), **CONFIG.get()}
    return collect_settings(
        project=pulumi.get_project(),
        stack=pulumi.get_stack(),
        configuration=configuration,
        encrypted={*get_config_secret_keys_env(), *filter(is_config_secret, configuration)},
        root=Path.cwd(),  # the engine runs a program in the folder of Pulumi.yaml
    )
