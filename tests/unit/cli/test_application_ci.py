"""An application's first ci.yml has a step for what its files show, and for no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.toolchain.golang import ensure_actionlint
from slipway.cli.init.application_ci import starter
from slipway.cli.init.requirements import Requirements, SmokeRequest, _smoke
from slipway.cli.init.updates import OTHERS, dependabot
from slipway.cli.init.workflows import first_files

ROOT = Path(__file__).parents[3]


def written(folder: Path, files: dict[str, str], **first: Any) -> tuple[str, dict[str, Any]]:
    """The workflow for an application with these files: its text, and its jobs."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = Requirements(file="compose.yaml", name="shop", services=(), built=(), routed=(), **first)
    text = starter(folder, folder, found, branch="main", runner="ubuntu-24.04")
    return text, yaml.safe_load(text)["jobs"]


def commands(job: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


PYTHON = {
    "uv": (
        {
            "uv.lock": "",
            "pyproject.toml": """
                [project]
                dependencies = ["httpx>=1"]
                optional-dependencies.dev = ["ruff"]
                optional-dependencies.aws = ["boto3"]
                [dependency-groups]
                dev = ["pytest", "pytest-cov", "mypy==1"]
                [tool.mypy]
                files = "src"
                [tool.coverage.report]
                fail_under = 90
            """,
        },
        {
            "Environment": "uv sync --locked --all-groups --extra dev",
            "Lint": "uv run --no-sync ruff check .",
            "Types": "uv run --no-sync mypy",
            "Tests": "uv run --no-sync pytest --cov",
        },
    ),
    "pip": (
        {"requirements.txt": "flask==3\n-r other.txt\n# pytest\n", "requirements-x.txt": "PyTest\nflake8"},
        {
            "Environment": "uv venv && uv pip install --requirement requirements-x.txt --requirement requirements.txt",
            "Lint by flake8": "uv run --no-project flake8",
            "Coverage of tests": "uv pip install pytest-cov",
            "Tests": 'uv run --no-project pytest --cov --cov-fail-under="$COVERAGE"',
        },
    ),
    "poetry": (
        {
            "poetry.lock": "",
            "pyrightconfig.json": "{}",
            "pyproject.toml": "[tool.poetry.dependencies]\nx = '3'\n[tool.poetry.group.dev.dependencies]\npytest = '8'",
        },
        {
            "Poetry": "uv tool install 'poetry>=2,<3'",
            "Environment": "poetry install",
            "Types by Pyright": "uvx pyright",
            "Coverage of tests": "poetry run pip install pytest-cov",
            "Tests": 'poetry run pytest --cov --cov-fail-under="$COVERAGE"',
        },
    ),
    "without tests": (
        {"pyproject.toml": "[project]\nname = 'x'\n[tool.mypy]\nstrict = true"},
        {"Environment": "uv venv && uv pip install --editable ."},
    ),
    "not a project": ({"pyproject.toml": "[tool.ruff]\nline-length = 120"}, None),
    "broken": ({"pyproject.toml": "[[["}, None),
}


@pytest.mark.parametrize(("files", "expected"), PYTHON.values(), ids=PYTHON)
def test_a_python_project_is_checked_by_the_tools_that_it_has(
    tmp_path: Path, files: dict[str, str], expected: dict[str, str] | None
) -> None:
    _, jobs = written(tmp_path, files)
    if expected is None:
        assert jobs.keys() == {"stack"}
        return
    found = commands(jobs["python"])
    audit = found.pop("Known vulnerabilities")
    assert audit.startswith("uvx pip-audit@")
    assert found.pop("Coverage report", "").endswith('>> "$GITHUB_STEP_SUMMARY"') is ("Tests" in expected)
    assert found == expected


def package(needed: list[str], **scripts: str) -> str:
    return json.dumps({"scripts": scripts, "devDependencies": dict.fromkeys(needed, "*"), "engines": {"node": ">=22"}})


NODE = {
    "npm": (
        {"package-lock.json": "", "package.json": package(["jest"], lint="eslint .", typecheck="tsc")},
        {
            "Packages": "npm ci", "Lint": "npm run lint", "Types": "npm run typecheck",
            "Tests": 'npx --no jest --coverage --coverageThreshold="{\\"global\\":{\\"lines\\":$COVERAGE}}"',
            "Known vulnerabilities": "npm audit --omit=dev --audit-level=high",
        },
    ),
    "pnpm": (
        {
            "pnpm-lock.yaml": "", "tsconfig.json": "{}",
            "package.json": package(["vitest", "@vitest/coverage-v8", "typescript"], test="vitest"),
        },
        {
            "Pnpm": "corepack enable", "Packages": "pnpm install --frozen-lockfile", "Types": "pnpm exec tsc --noEmit",
            "Tests": 'pnpm exec vitest run --coverage.enabled --coverage.thresholds.lines="$COVERAGE"',
            "Known vulnerabilities": "pnpm audit --prod --audit-level high",
        },
    ),
    "yarn": (
        {"yarn.lock": "", "package.json": package([], test="node --test")},
        {
            "Yarn": "corepack enable", "Packages": "yarn install --frozen-lockfile",
            "Tests": 'npx --yes c8@10 --check-coverage --lines "$COVERAGE" yarn run test',
            "Known vulnerabilities": "yarn audit --groups dependencies --level high || [ $? -lt 8 ]",
        },
    ),
    "yarn of today": (
        {"yarn.lock": "", ".yarnrc.yml": "", "package.json": package([], test='echo "Error: no test specified"')},
        {
            "Yarn": "corepack enable", "Packages": "yarn install --immutable",
            "Known vulnerabilities": "yarn npm audit --all --environment production --severity high",
        },
    ),
    "without a lock file": (
        {"package.json": "{}"},
        {"Packages": "npm install", "Known vulnerabilities": "npm audit --omit=dev --audit-level=high"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), NODE.values(), ids=NODE)
def test_a_node_package_is_checked_by_the_scripts_and_tools_that_it_has(
    tmp_path: Path, files: dict[str, str], expected: dict[str, str]
) -> None:
    _, jobs = written(tmp_path, files)
    assert commands(jobs["node"]) == expected


def test_the_stack_comes_up_with_the_values_of_the_example_and_answers(tmp_path: Path) -> None:
    block = {"port": 8000, "smoke": [{"http": {"path": "/a b"}}, {"http": {"status": 401}}, {"tcp": {}}, "x"]}
    smoke = tuple(_smoke("api", {"x-slipway": block}))
    assert smoke == (SmokeRequest("api", 8000, "/a b"),)
    first = {"smoke": smoke, "secrets": ("TOKEN",)}
    _, jobs = written(tmp_path, {".env.example": "TOKEN=x"}, **first)
    steps = commands(jobs["stack"])
    assert list(steps) == ["Values", "Up", "Smoke check of api", "Logs"]
    assert steps["Smoke check of api"].endswith(":8000'/a b'")
    assert "env" not in jobs["stack"]
    (tmp_path / ".env.example").unlink()
    _, jobs = written(tmp_path, {}, **first)
    assert jobs["stack"]["env"].keys() == {"TOKEN"}


def test_no_value_is_made_up_for_what_is_no_secret(tmp_path: Path) -> None:
    first: dict[str, Any] = {"variables": {"COLOUR": "", "PORT": ""}, "secrets": ("TOKEN",)}
    text, jobs = written(tmp_path, {}, **first)
    assert "these have no value here: COLOUR, PORT.\n" in text
    assert list(commands(jobs["stack"])) == ["Compose file"]
    text, jobs = written(tmp_path, {".env.example": "PORT=80"}, **first)
    assert "no value" not in text
    assert "Up" in commands(jobs["stack"])


def test_each_folder_that_an_image_is_built_from_has_a_job_and_none_outside(tmp_path: Path) -> None:
    files = {"a b: c/requirements.txt": "", "web/package.json": "{}", "../other/package.json": "{}"}
    contexts = ("./a b: c", "./web", "../other", "https://github.com/acme/shop.git")
    folder = tmp_path / "repository"
    folder.mkdir()
    text, jobs = written(folder, files, contexts=contexts)
    assert list(jobs) == ["python-a-b-c", "node-web", "stack"]
    assert jobs["python-a-b-c"]["defaults"]["run"]["working-directory"] == "a b: c"
    assert "node-version-file" not in text


def test_folders_whose_names_are_alike_have_a_job_each(tmp_path: Path) -> None:
    folders = ["a/b", "a-b", "a b", "a-b-2"]
    text, jobs = written(tmp_path, {f"{each}/requirements.txt": "" for each in folders}, contexts=folders)
    assert [job.get("name") for job in jobs.values()] == [*(f"python {each}" for each in folders), "stack"]
    assert text.count("\n  python-") == len(folders)


def test_checkers_find_nothing_in_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for number, (files, _) in enumerate([*PYTHON.values(), *NODE.values()]):
        text, _ = written(tmp_path / str(number), files, smoke=(SmokeRequest("api", 80, "/"),), secrets=("TOKEN",))
        (tmp_path / ".github/workflows").mkdir(parents=True, exist_ok=True)
        (tmp_path / f".github/workflows/{number}.yml").write_text(text)
    checked = subprocess.run([ensure_actionlint()], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    zizmor = [Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--persona", "pedantic"]
    config = ["--config", ROOT / ".github/zizmor.yml", tmp_path / ".github/workflows"]
    checked = subprocess.run([*zizmor, *config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_what_somebody_made_of_it_stays(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = Requirements(file="compose.yaml", name="shop", services=(), built=(), routed=())
    files = {
        str(file.relative_to(tmp_path)): text for file, text in first_files(tmp_path, tmp_path, first, ("own",)).items()
    }
    assert files.keys() == {".github/workflows/ci.yml", ".github/dependabot.yml"}
    assert yaml.safe_load(files[".github/workflows/ci.yml"])["jobs"]["stack"]["runs-on"] == "own"
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    assert first_files(tmp_path, tmp_path, first, ()) == {}


TESTS = [
    # a workflow that is there → whether it checks pull requests
    ("on: pull_request", True), ("on: [push, pull_request]", True), ("on:\n  pull_request:\n    types: [opened]", True),
    ("on: push\nname: pull_request", False), ("on:\n  push: {}", False), ("on:", False), ("[", False), ("mine", False),
    ("", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "checks"), TESTS)
@pytest.mark.parametrize("name", ["tests.yml", "ci.yaml", "preview.yml"])
def test_who_has_checks_gets_no_others(tmp_path: Path, name: str, text: str, *, checks: bool) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = Requirements(file="compose.yaml", name="shop", services=(), built=(), routed=())
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows" / name).write_text(text)
    found = [file.name for file in first_files(tmp_path, tmp_path, first, ())]
    assert ("ci.yml" in found) is not (checks and name != "preview.yml")


def test_who_uses_renovate_gets_no_dependabot(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = Requirements(file="compose.yaml", name="shop", services=(), built=(), routed=())
    for name in OTHERS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        assert [file.name for file in first_files(tmp_path, tmp_path, first, ())] == ["ci.yml"]
        (tmp_path / name).unlink()


def test_each_kind_of_dependency_is_kept_up_to_date_where_it_is(tmp_path: Path) -> None:
    files = ("ops/uv.lock", "ops/requirements.txt", "shop/compose.yaml", "shop/api/Dockerfile",
             "shop/api/requirements.txt", "shop/web/package.json", "shop/web/web.Dockerfile",
             "package.json")  # fmt: skip
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    folders = [tmp_path / name for name in ("ops", "shop", "shop/api", "shop/web")]
    updates = yaml.safe_load(dependabot(tmp_path, folders))["updates"]
    assert [(each["package-ecosystem"], each["directory"]) for each in updates] == [
        ("github-actions", "/"), ("uv", "/ops"), ("docker-compose", "/shop"), ("docker", "/shop/api"),
        ("pip", "/shop/api"), ("docker", "/shop/web"), ("npm", "/shop/web"),
    ]  # fmt: skip
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/dependabot.yml").write_text(dependabot(tmp_path, folders))
    zizmor = [Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--persona", "pedantic", tmp_path]
    checked = subprocess.run(zizmor, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
