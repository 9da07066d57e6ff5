"""Applications that people know, on staging and in production, when every value that is asked for is given.

`known/*.yaml` has the shape of each: `compose`, the `files` beside it, its `.env` where that is beside Pulumi.yaml as
well (`beside`), values of variables (`given`; others get `1`), `composeFile`, `profiles`; and how the problems begin
for which a stage is refused, if it is.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from samples import KEY, PRIVATE_KEY

from slipway.compose.application import Application, read_application
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.load import collect_settings

KNOWN: dict[str, dict[str, Any]] = {
    name: shape
    for file in sorted((Path(__file__).parent / "known").glob("*.yaml"))
    for name, shape in yaml.safe_load(file.read_text()).items()
}
HOST = {"name": "web-1", "address": "203.0.113.10", "user": "deploy", "hostKey": KEY}
ASKED = ("variable-missing", "secret-missing")
ROUNDS = 10


def written(folder: Path, shape: dict[str, Any]) -> None:
    """The application, in a Git repository with all that its `.gitignore` would let in."""
    files = {"compose.yaml": yaml.safe_dump(shape["compose"], sort_keys=False, width=1000), **shape.get("files", {})}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "--force", "."], check=True)


def read(
    root: Path, stack: str, shape: dict[str, Any], variables: dict[str, str], secrets: dict[str, str]
) -> Application:
    """As a preview reads it; raises SlipwayError with every problem of settings and application."""
    values = {
        "application": "app", "domain": "example.com", "registry": "ghcr.io/acme", "sshKey": PRIVATE_KEY,
        "hosts": [HOST], "composeFile": shape.get("composeFile", []), "profiles": shape.get("profiles", []),
        "variables": variables, "secrets": secrets,
    }  # fmt: skip
    settings, problems = collect_settings(
        project="p",
        stack=stack,
        configuration={
            f"p:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
        },
        encrypted=["p:sshKey", "p:secrets"],
        root=root,
        environment={},
    )
    return read_application(settings, problems=problems)


def deployed(root: Path, stack: str, shape: dict[str, Any]) -> tuple[Application | None, list[Problem]]:
    """The application once every value that it asks for is given, or what still keeps it from being deployed."""
    (root / "app").mkdir()
    written(root / "app", shape)
    if "beside" in shape:
        (root / ".env").write_text(shape["files"][shape["beside"]])
    variables, secrets = dict[str, str](), dict[str, str]()
    for number in range(ROUNDS):
        try:
            return read(root, stack, shape, variables, secrets), []
        except SlipwayError as error:
            asked = [problem for problem in error.problems if problem.code in ASKED]
            if not asked:
                return None, list(error.problems)
            for problem in asked:
                if "--secret" in problem.fix:
                    secrets[problem.subject] = f"0f1e2d3c4b5a6978{number:02}{problem.subject.lower()}"
                else:
                    variables[problem.subject] = shape.get("given", {}).get(problem.subject, "1")
    raise AssertionError(f"after {ROUNDS} rounds it still asks for {[problem.subject for problem in asked]}")


@pytest.mark.parametrize("stack", ["staging", "production"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_known_application_deploys_or_is_refused_for_a_good_reason(tmp_path: Path, name: str, stack: str) -> None:
    shape = KNOWN[name]
    expected = shape.get(stack, [])
    application, problems = deployed(tmp_path, stack, shape)
    assert len(problems) == len(expected), problems
    for begins in expected:
        assert any(problem.what.startswith(begins) for problem in problems), problems
    if application:
        assert set(application.entries) >= set(shape["compose"]["services"]) - {
            service for service, each in shape["compose"]["services"].items() if (each or {}).get("profiles")
        }
    for warning in application.warnings if application else ():
        assert warning.fix


def test_most_known_applications_deploy() -> None:
    """The share that issue 11 asks of 71: 66 on staging, and in production all whose passwords are not literals."""
    assert len(KNOWN) >= 30
    staging = [name for name, shape in KNOWN.items() if not shape.get("staging")]
    production = [name for name, shape in KNOWN.items() if not shape.get("production")]
    assert len(staging) / len(KNOWN) >= 0.9
    assert len(production) / len(KNOWN) >= 0.7
