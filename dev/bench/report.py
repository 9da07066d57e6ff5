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
    "preview_vs_noop": ("`pulumi preview` beside that `up`, both with nothing to do", "x", 1.1),
    "plan_vs_deed_mismatches": ("plans that were not what happened, random changes on the fake Docker", "", 0),
    "plan_vs_deed_changes": ("of so many", "", None),
    "plan_vs_deed_mismatches_real": ("plans that were not what happened, random changes of the example", "", 0),
    "plan_vs_deed_changes_real": ("of so many", "", None),
    "redaction_forms_missed": ("secrets that could be read, of random ones in random encodings and cuts", "", 0),
    "redaction_cases": ("of so many", "", None),
    "ssh_connections_per_host": ("SSH connections per host and deployment", "", 2),
    "two_hosts_vs_one": ("the same on 2 hosts beside 1", "x", None),
    "four_hosts_vs_one": ("the same on 4 hosts beside 1", "x", 2.0),
    "lost_requests": ("requests lost to changes and ways back under 500 requests/s", "", 0),
    "sent_requests": ("of so many", "", None),
    "retried_requests": ("sent a second time, as HTTP lets a client (RFC 9110, 9.2.2)", "", None),
    "p99_during_vs_before": ("99th percentile of the latency during a change, beside before it", "x", 1.5),
    "longest_gap_s": ("longest time without a good answer", "s", None),
    "change_vs_compose": (
        "start of a change → all traffic on the verified new release, beside plain Compose",
        "x",
        1.3,
    ),
    "back_vs_compose": ("going back to the release before, beside plain Compose", "x", 1.0),
    "change_vs_compose_command": ("the change's command from start to end, beside plain Compose", "x", None),
    "back_vs_compose_command": ("the way back's command from start to end, beside plain Compose", "x", None),
    "shift_live_ms": ("route written → seen live, the slowest", "ms", 300),
    "back_after_shift_s": ("decision to leave a bad release → all traffic on the one before", "s", 2),
    **{
        f"{peer}_{name}": (f"{what}, {called}", unit, None)
        for peer, called in (
            ("compose", "plain `docker compose pull && up --detach --wait`"),
            ("scale", "Compose `--scale` behind Traefik (docker-rollout's way)"),
            ("swarm", "Docker Swarm `start-first` behind Traefik"),
        )
        for name, what, unit in (
            ("lost_requests", "requests lost", ""),
            ("sent_requests", "of so many", ""),
            ("retried_requests", "sent a second time", ""),
            ("p99_during_vs_before", "99th percentile during a change, beside before it", "x"),
            ("longest_gap_s", "longest time without a good answer", "s"),
        )
    },
    "move_interruption_s": ("moving over: a database on one volume does not answer the old application", "s", None),
    "move_interruption_vs_restart": ("that beside `docker restart` of it", "x", 2),
    "move_lost_requests": ("requests to a stateless service lost to moving over and back, under 200 requests/s", "", 0),
    "move_sent_requests": ("of so many", "", None),
    "move_retried_requests": ("sent a second time", "", None),
    "rollback_warm_s": ("`slipway rollback` of one routed service to a release that the host keeps", "s", 5),
    "rollback_warm_host_s": ("of that on the host", "s", 2),
    "rollback_warm_example_s": ("the same of the example: three of its six services change", "s", None),
    "rollback_warm_example_host_s": ("of that on the host", "s", None),
    "rollback_cold_vs_deploy": ("to one whose images are pulled again, beside `pulumi up` without a build", "x", 1.2),
    "history_500_s": ("`slipway history --all` of 500 updates in a folder, hosts asked", "s", 1.5),
    "help_s": ("`--help` of the slowest command", "s", 0.4),
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
    shown = {name: document[name] for name in _FIGURES if name in document}
    (folder / "results.md").write_text("\n".join(_page(shown, kept, conditions)) + "\n")


def _page(
    figures: Mapping[str, float], samples: Mapping[str, Sequence[float]], conditions: Mapping[str, Any]
) -> list[str]:
    lines = [
        "# Benchmark",
        "",
        (
            f"`make bench`: {conditions['runs']} samples each, medians; {conditions['cpus']} cores, "
            f"{conditions['machine']}; the example application, registry and test hosts all on the same machine. "
            "`python -m dev.bench 5 way-back` takes those of rollback, history and help alone, and leaves the others "
            "as they were measured before."
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
