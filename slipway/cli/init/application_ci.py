"""A first `ci.yml` for the application, from what its files say: it has a step for what they show, and for no more.

Looked at are the folder of the Compose file and those that its images are built from. The file is written once, and
belongs to the application from then on.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from slipway.cli.init.requirements import Requirements, SmokeRequest

__all__ = ["looked_at", "starter"]

_CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
_UV = "astral-sh/setup-uv@20cfd1bf945f4377ade1205e4dbc17946fc9a30d # v10.0.1"
_NODE = "actions/setup-node@820762786026740c76f36085b0efc47a31fe5020 # v7.0.0"
_HEAD = """\
# Of the application: lint, types, tests, known vulnerabilities, and whether its Compose file comes up and answers.
# `slipway init --workflows` wrote it once, from what the files showed then; it is yours from now on.
name: ci

on:
  pull_request:
  push:
    branches: [{branch}, "hotfix/**"]

permissions: {{}}

concurrency:
  group: ci-${{{{ github.ref }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}

env:
  COVERAGE: 60 # percent of the lines that tests have to reach, where nothing else says it; raise it as they grow

jobs:
"""
_ONLY_READ = "docker compose config --no-interpolate --quiet"
_NO_VALUE = """\
      # Brings nothing up, as these have no value here: {}.
      # With an .env.example that has them, delete this file and run `slipway init --workflows` again.
"""
_SITE = """python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'"""
_AUDIT = "pip-audit@2.9.0"
_EXTRAS = ("dev", "test", "tests", "lint")
_NO_TESTS = "no test specified"  # what `npm init` writes


@dataclass(frozen=True)
class _Step:
    name: str
    run: str
    condition: str = ""


@dataclass(frozen=True)
class _Job:
    name: str
    folder: str
    """From the repository's top."""
    steps: Sequence[str | _Step]
    """`uses` with what follows it, or commands."""
    environment: Sequence[str] = ()
    """Variables that only have to have some value."""


def looked_at(repository: Path, application: Path, contexts: Iterable[str]) -> list[Path]:
    """The folder of the Compose file, and those of the repository that its images are built from."""
    folders = dict.fromkeys([application.resolve(), *(application.joinpath(each).resolve() for each in contexts)])
    return [each for each in folders if each.is_relative_to(repository.resolve())]  # another is a Git address, too


def starter(repository: Path, application: Path, first: Requirements, *, branch: str, runner: str) -> str:
    """The text of the workflow. `runner` is what follows `runs-on:`."""
    jobs = []
    for folder in looked_at(repository, application, first.contexts):
        where = os.path.relpath(folder, repository.resolve())
        name = "" if where == "." else f" {where}"
        jobs += [_Job(f"python{name}", where, steps) for steps in [list(_python(folder))] if steps]
        jobs += [_Job(f"node{name}", where, steps) for steps in [list(_node(folder, where))] if steps]
    example = (application / ".env.example").is_file()
    where = os.path.relpath(application.resolve(), repository.resolve())
    unset = () if example else tuple(first.variables)
    steps = [_Step("Compose file", _ONLY_READ)] if unset else [*_stack(application, first.smoke)]
    jobs.append(_Job("stack", where, steps, () if example or unset else first.secrets))
    texts = dict[str, str]()
    for job in jobs:
        identity = plain = re.sub(r"[^a-z0-9]+", "-", job.name.lower()).strip("-")
        for number in itertools.count(2):
            if identity not in texts:
                break
            identity = f"{plain}-{number}"
        texts[identity] = _written(identity, job, runner)
    left = _NO_VALUE.format(", ".join(unset)) if unset else ""
    return _HEAD.format(branch=branch) + "\n".join(texts.values()) + left


def _written(identity: str, job: _Job, runner: str) -> str:
    lines = [
        f"  {identity}:",
        f"    name: {_scalar(job.name)}",
        f"    runs-on: {runner}",
        "    timeout-minutes: 20",
        "    permissions:",
        "      contents: read # the commit",
        *(
            []
            if job.folder == "."
            else ["    defaults:", "      run:", f"        working-directory: {_scalar(job.folder)}"]
        ),
        *(["    env:", *(f"      {name}: of-no-use" for name in job.environment)] if job.environment else []),
        "    steps:",
        f"      - uses: {_CHECKOUT}",
        "        with:",
        "          persist-credentials: false",
    ]
    for step in job.steps:
        if isinstance(step, str):
            lines += [f"      - uses: {step}"]
            continue
        lines += [f"      - name: {step.name}"]
        lines += [f"        if: {step.condition}"] if step.condition else []
        lines += ["        " + yaml.safe_dump({"run": step.run}, width=10**6).strip()]
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    return text if re.fullmatch(r"[\w./ -]+", text, re.ASCII) and yaml.safe_load(text) == text else json.dumps(text)


# --- Python


def _python(folder: Path) -> Iterator[str | _Step]:
    """The steps for a Python project; none where there is none."""
    project = _toml(folder / "pyproject.toml")
    listed = sorted({*folder.glob("requirements*.txt"), *folder.glob("*-requirements.txt")})
    if not project.get("project") and "poetry" not in project.get("tool", {}) and not listed:
        return
    tools, names = project.get("tool", {}), _dependencies(project, listed)

    yield _UV
    if (folder / "poetry.lock").is_file():
        run, install = "poetry run ", "poetry run pip install"
        yield _Step("Poetry", "uv tool install 'poetry>=2,<3'")
        yield _Step("Environment", "poetry install")
    elif (folder / "uv.lock").is_file():
        run, install = "uv run --no-sync ", "uv pip install"
        extras = [each for each in _EXTRAS if each in project.get("project", {}).get("optional-dependencies", {})]
        yield _Step("Environment", " ".join(["uv sync --locked --all-groups", *(f"--extra {each}" for each in extras)]))
    else:
        run, install = "uv run --no-project ", "uv pip install"
        given = [f"--requirement {each.name}" for each in listed] or ["--editable ."]
        yield _Step("Environment", f"uv venv && uv pip install {' '.join(given)}")
    yield from _python_checks(run, project, names, folder)
    if "pytest" in names:
        if "pytest-cov" not in names:
            yield _Step("Coverage of tests", f"{install} pytest-cov")
        stated = "fail_under" in tools.get("coverage", {}).get("report", {})
        yield _Step("Tests", f"{run}pytest --cov" + ("" if stated else ' --cov-fail-under="$COVERAGE"'))
        report = f'{run}coverage report --format=markdown --fail-under=0 >> "$GITHUB_STEP_SUMMARY"'
        yield _Step("Coverage report", report, "success() || failure()")
    yield _Step("Known vulnerabilities", f'uvx {_AUDIT} --path "$({run}{_SITE})"')


def _python_checks(run: str, project: Mapping[str, Any], names: set[str], folder: Path) -> Iterator[_Step]:
    """Linters and type checkers that are installed, or configured and run without the rest."""
    tools = project.get("tool", {})

    def used(tool: str, *files: str) -> bool:
        return tool in names or tool in tools or any((folder / file).is_file() for file in files)

    if used("ruff", "ruff.toml", ".ruff.toml"):
        yield _Step("Lint", f"{run}ruff check ." if "ruff" in names else "uvx ruff check .")
    if used("flake8", ".flake8"):
        yield _Step("Lint by flake8", f"{run}flake8")
    if used("mypy", "mypy.ini", ".mypy.ini") and "mypy" in names:
        yield _Step("Types", f"{run}mypy" if {"files", "packages"} & {*tools.get("mypy", {})} else f"{run}mypy .")
    if used("pyright", "pyrightconfig.json"):
        yield _Step("Types by Pyright", f"{run}pyright" if "pyright" in names else "uvx pyright")


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _dependencies(project: Mapping[str, Any], listed: Iterable[Path]) -> set[str]:
    """Names of what a project needs, with what develops it."""
    own = project.get("project", {})
    poetry = project.get("tool", {}).get("poetry", {})
    groups = [
        own.get("dependencies", []),
        *own.get("optional-dependencies", {}).values(),
        *project.get("dependency-groups", {}).values(),
        poetry.get("dependencies", {}),
        poetry.get("dev-dependencies", {}),
        *(group.get("dependencies", {}) for group in poetry.get("group", {}).values()),
        *(file.read_text("utf-8", "replace").splitlines() for file in listed),
    ]
    found = (re.match(r"[A-Za-z0-9][\w.-]*", str(each)) for group in groups for each in group)
    return {re.sub(r"[-_.]+", "-", each[0]).lower() for each in found if each}


# --- Node


def _node(folder: Path, where: str) -> Iterator[str | _Step]:
    """The steps for a package of Node's; none where there is none."""
    try:
        package = json.loads((folder / "package.json").read_text("utf-8"))
    except (OSError, ValueError):
        return
    scripts = package.get("scripts") or {}
    needed = {*(package.get("dependencies") or {}), *(package.get("devDependencies") or {})}
    run, execute, install, audit = _node_commands(folder)
    files = [name for name in (".nvmrc", ".node-version") if (folder / name).is_file()]
    files += ["package.json"] if (package.get("engines") or {}).get("node") else []
    version = (
        f"node-version-file: {_scalar(os.path.normpath(f'{where}/{files[0]}'))}" if files else 'node-version: "24"'
    )
    yield f"{_NODE}\n        with:\n          {version}"
    if not run.startswith("npm"):
        yield _Step(run.split()[0].capitalize(), "corepack enable")
    yield _Step("Packages", install)
    if "lint" in scripts:
        yield _Step("Lint", f"{run} lint")
    types = next((name for name in ("typecheck", "type-check", "check-types", "types") if name in scripts), "")
    if types:
        yield _Step("Types", f"{run} {types}")
    elif "typescript" in needed and (folder / "tsconfig.json").is_file():
        yield _Step("Types", f"{execute} tsc --noEmit")
    if {"vitest", "@vitest/coverage-v8"} <= needed:
        yield _Step("Tests", f'{execute} vitest run --coverage.enabled --coverage.thresholds.lines="$COVERAGE"')
    elif "jest" in needed:
        limit = '--coverageThreshold="{\\"global\\":{\\"lines\\":$COVERAGE}}"'
        yield _Step("Tests", f"{execute} jest --coverage {limit}")
    elif _NO_TESTS not in scripts.get("test", _NO_TESTS):
        yield _Step("Tests", f'npx --yes c8@10 --check-coverage --lines "$COVERAGE" {run} test')
    yield _Step("Known vulnerabilities", audit)


def _node_commands(folder: Path) -> tuple[str, str, str, str]:
    """How the package's manager runs a script and a tool, installs, and asks for vulnerabilities."""
    if (folder / "pnpm-lock.yaml").is_file():
        return "pnpm run", "pnpm exec", "pnpm install --frozen-lockfile", "pnpm audit --prod --audit-level high"
    if (folder / "yarn.lock").is_file() and (folder / ".yarnrc.yml").is_file():
        audit = "yarn npm audit --all --environment production --severity high"
        return "yarn run", "yarn exec", "yarn install --immutable", audit
    if (folder / "yarn.lock").is_file():
        # Its exit code adds up kinds: 8 are high, 16 critical.
        audit = "yarn audit --groups dependencies --level high || [ $? -lt 8 ]"
        return "yarn run", "yarn exec --", "yarn install --frozen-lockfile", audit
    locked = any((folder / name).is_file() for name in ("package-lock.json", "npm-shrinkwrap.json"))
    return "npm run", "npx --no", "npm ci" if locked else "npm install", "npm audit --omit=dev --audit-level=high"


# --- the Compose file


def _stack(application: Path, smoke: Sequence[SmokeRequest]) -> Iterator[_Step]:
    if (application / ".env.example").is_file():
        yield _Step("Values", "cp .env.example .env")
    yield _Step("Up", "docker compose up --detach --build --wait --wait-timeout 300")
    for each in smoke:
        look = "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'"
        place = f'"$({look} "$(docker compose ps --quiet {each.service} | head -n 1)" | cut -d " " -f 1)"'
        get = "curl --fail --silent --show-error --retry 10 --retry-all-errors --max-time 10 --output /dev/null"
        yield _Step(f"Smoke check of {each.service}", f"{get} http://{place}:{each.port}{shlex.quote(each.path)}")
    yield _Step("Logs", "docker compose logs --no-color", "failure()")
