"""Paths on hosts: the shell, the driver and the agent mean the same ones."""

import subprocess
from pathlib import Path

import pytest

from slipway.contract.host_paths import edge_folder, is_stack, shell_stack_path, stack_folder


@pytest.mark.parametrize("home", ["", "/srv/slip way"])
def test_the_shell_of_a_host_and_the_agent_there_mean_the_same_folder(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_HOME", home)
    said = subprocess.run(["sh", "-c", f"printf %s {shell_stack_path('shop', 'x')}"], capture_output=True, check=True)
    assert said.stdout.decode() == f"{stack_folder('shop')}/x"
    assert edge_folder().startswith(home or str(tmp_path))


@pytest.mark.parametrize("name", ["shop", "shop-staging", "0_a", "a" * 63])
def test_names_of_stacks_are_good(name: str) -> None:
    assert is_stack(name)


@pytest.mark.parametrize("name", ["", "Shop", "-a", "a/b", "..", "a" * 64, "shop\n", None, 5])
def test_what_could_lead_out_of_the_folder_of_stacks_is_no_name(name: object) -> None:
    assert not is_stack(name)
