"""The benchmark's two files: results.json for programs, results.md for people.

Owns: their form. results.json holds plain numbers under stable names at its top level; other measurements of the same
file (from later capabilities) are kept when only some are measured again.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["write"]

# Name → what it says, unit, the most it should be (from the issue that asked for it; None where nothing was asked).
_FIGURES: dict[str, tuple[str, str, float | None]] = {
    "deploy_vs_script": ("changed image → verified, beside the shell script (build, push, pull, up --wait)", "x", 1.3),
    "noop_vs_empty": ("`pulumi up --skip-preview` with nothing to do, beside an empty program", "x", 2.0),
    "ssh_connections_per_host": ("SSH connections per host and deployment", "", 2),
    "two_hosts_vs_one": ("the same on 2 hosts beside 1", "x", None),
    "four_hosts_vs_one": ("the same on 4 hosts beside 1", "x", 2.0),
    "agent_packed_kb": ("agent, packed", "KB", 150),
    "agent_rss_mb": ("agent, peak resident while deploying", "MB", 30),
    "agent_start_s": ("agent, start to end doing nothing", "s", 0.3),
}


def write(
    folder: Path, figures: Mapping[str, float], samples: Mapping[str, Sequence[float]], conditions: Mapping[str, Any]
) -> None:
    """Write both files into `folder`; `samples` are seconds."""
    file = folder / "results.json"
    before: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    rounded = {name: round(value, 3) for name, value in figures.items()}
    kept = {
        **before.get("samples", {}),
        **{name: [round(each, 3) for each in taken] for name, taken in samples.items()},
    }
    document = {**before, **rounded, "conditions": dict(conditions), "samples": kept}
    file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    (folder / "results.md").write_text("\n".join(_page(rounded, samples, conditions)) + "\n")


def _page(
    figures: Mapping[str, float], samples: Mapping[str, Sequence[float]], conditions: Mapping[str, Any]
) -> list[str]:
    lines = [
        "# Benchmark",
        "",
        (
            f"One run of `make bench`: {conditions['runs']} samples each, medians; {conditions['cpus']} cores, "
            f"{conditions['machine']}; the example application, registry and test hosts all on the same machine."
        ),
        "",
        "| figure | measured | asked: at most |",
        "|---|---:|---:|",
    ]
    for name, value in figures.items():
        meaning, unit, most = _FIGURES[name]
        lines.append(f"| {meaning} (`{name}`) | {value:g} {unit} | {'-' if most is None else f'{most:g} {unit}'} |")
    lines += ["", "| seconds | median | lowest | highest |", "|---|---:|---:|---:|"]
    for name, taken in samples.items():
        lines.append(f"| {name} | {statistics.median(taken):.2f} | {min(taken):.2f} | {max(taken):.2f} |")
    return lines
