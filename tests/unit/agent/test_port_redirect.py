"""The script that redirects ports of a host, with the host's iptables, says what it did."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from slipway.agent.edge import port_redirect

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("fails", "pairs", "code"),
    [("", "1:2", 0), ("-I", "1:2", 1), ("", "", 0), ("-D", "", 3), ("-D", "1:2", 3), ("-S", "", 3)],
)
def test_the_script_of_the_redirection_says_what_it_did(tmp_path: Path, fails: str, pairs: str, code: int) -> None:
    """`iptables` here keeps rules in a file, one a line, and does not do what `fails` names."""
    rules, stub = tmp_path / "rules", tmp_path / "iptables"
    rules.write_text(
        "-A OUTPUT -p tcp -m comment --comment slipway-move -j REDIRECT --to-ports 9\n-A OUTPUT -j DOCKER\n"
    )
    stub.write_text(
        f"""#!/bin/sh
        shift 4
        case $1 in
          {fails or "none"}) exit 4 ;;
          -S) cat {rules} ;;
          -D) shift; grep -vxe "-A $*" {rules} > {rules}.new; mv {rules}.new {rules} ;;
          -I) shift; echo "-A $*" >> {rules} ;;
        esac"""
    )
    stub.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(["sh", "-c", port_redirect._SCRIPT], env={"PATH": path, "PAIRS": pairs}, check=False)
    assert done.returncode == code
    assert "-A OUTPUT -j DOCKER" in rules.read_text()
