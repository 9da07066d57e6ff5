"""The shipped workflows: what they run, for whom and with which secrets, and that checkers find nothing in them."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from workflow_jobs import WORKFLOWS, Job, called

from dev.toolchain.golang import ensure_actionlint
from slipway.cli.init import workflows as shipped
from slipway.cli.init.workflows import by_hand, workflows_for
from slipway.cli.main import app

SHA = "3f2a91c04b7d5e8f60123456789abcdef0123456"
STACKS = ("staging", "production")
ALWAYS = {"deploy.yml", "rollback.yml", "preview.yml", "drift.yml", "health.yml", "cleanup.yml"}
FILES = sorted(WORKFLOWS.glob("*.yml"))
JOBS = [(file.name, name, job) for file in FILES for name, job in yaml.safe_load(file.read_text())["jobs"].items()]
STEPS = [(file, name, step) for file, name, job in JOBS for step in job.get("steps", ())]
SECRETS = re.compile(r"\$\{\{ secrets\.(\w+) \}\}")


def played(
    folder: Path, workflow: str, *, name: str = "", fails: str = "", **given: Any
) -> tuple[Job, list[list[str]]]:
    """A job with a `slipway` that only writes down how it was called, and fails for the command `fails`."""
    script = f'#!/bin/sh\nshift 3\nprintf "%s\\n" "$@" . >> "$RAN"\n[ "$1" != "{fails}" ]\n'
    (folder / "uv").write_text(f'#!/bin/sh\n[ "$1" = run ] || exit 0\n{script[10:]}')
    (folder / "uv").chmod(0o755)
    job = Job(workflow, folder, {"PATH": f"{folder}:/usr/bin:/bin", "GITHUB_SHA": SHA, "RAN": str(folder / "ran")},
              name=name, **given)  # fmt: skip
    job.succeeded = job.play()  # type: ignore[attr-defined]
    said = (folder / "ran").read_text() if (folder / "ran").exists() else ""
    (folder / "ran").unlink(missing_ok=True)
    return job, [each.split("\n") for each in said.removesuffix("\n.\n").split("\n.\n") if each]


def understood(words: list[str]) -> str:
    """The command, which takes these options."""
    group: Any = typer.main.get_command(app)
    command = group.get_command(group.context_class(group), words[0])
    command.make_context(words[0], words[1:])
    return words[0]


# --- all of them


def test_checkers_find_nothing_in_what_is_written_for_an_application(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for stacks, runner in (
        (STACKS, ()),
        (("live",), ()),
        (("dev", "test", "1.0"), ("self-hosted", "linux")),
        (("preview", "on", "pr"), ("self-hosted",)),
    ):
        project = tmp_path / "deploy"
        project.mkdir(exist_ok=True)
        folder = tmp_path / ".github" / "workflows"
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in workflows_for(project, tmp_path, stacks, runner=runner).items():
            file.write_text(text)
        checked = subprocess.run([str(ensure_actionlint())], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout) == (0, "")
        zizmor = [Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--persona", "pedantic"]
        config = ["--config", WORKFLOWS.parent / "zizmor.yml"]
        checked = subprocess.run([*zizmor, *config, folder], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
        for file in folder.iterdir():
            file.unlink()


@pytest.mark.parametrize(("file", "name", "job"), JOBS)
def test_every_job_has_an_end_and_its_own_permissions(file: str, name: str, job: dict[str, Any]) -> None:
    del name
    assert yaml.safe_load((WORKFLOWS / file).read_text())["permissions"] == {}
    assert "permissions" in job
    assert "uses" in job or job["timeout-minutes"] <= 60


@pytest.mark.parametrize(("file", "name", "step"), STEPS)
def test_every_step_is_a_pinned_action_or_a_command_that_also_runs_here(
    file: str, name: str, step: dict[str, Any]
) -> None:
    del file, name
    if "uses" in step:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"])
        assert "checkout" not in step["uses"] or step["with"]["persist-credentials"] is False
    else:
        assert re.match(
            r"uv sync --locked|uv run --no-sync slipway |make \w+|echo |exit 1|VERSION=\$\(|gh release \w+ ",
            step["run"],
        )
        assert "${{" not in step["run"], "what somebody wrote is handed on as a variable"
        assert "\n" not in step["run"].strip()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_action_says_its_version(file: Path) -> None:
    for line in file.read_text().splitlines():
        assert " uses: " not in line or "./" in line or re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_whoever_gets_the_credentials_of_a_state_gets_those_of_the_hosts(file: Path) -> None:
    entries = [line.strip().partition(":")[0] for line in file.read_text().splitlines()]
    counts = [entries.count(name) for name in ("PULUMI_CONFIG_PASSPHRASE", "SLIPWAY_SSH_KEY", "HCLOUD_TOKEN")]
    assert len(set(counts)) == 1


# --- deploy.yml


DEPLOYMENTS = [
    # inputs → commands
    ({}, ["up --stack staging", "validate --stack staging --no-github"]),
    ({"await-checks": True},
     ["up --stack staging", f"await-checks --stack staging --sha {SHA} --no-variables --ignore release.yml"]),
    ({"pin": "v1"}, ["up --stack staging", "validate --stack staging --no-github"]),
    ({"pin": "v1", "await-checks": True}, ["up --stack staging"]),
    ({"refresh": True},
     ["up --stack staging -- --replace **docker-build:index:Image::**", "validate --stack staging --no-github"]),
    ({"rollback": True, "to": "", "reason": "x"},
     ["history --stack staging", "rollback --stack staging --to '' --message x"]),
    ({"rollback": True, "to": "r-1", "plan": True},
     ["history --stack staging", "rollback --stack staging --to r-1 --plan"]),
    ({"promote": "test", "confirm": "DEPLOY", "commit": SHA, "reason": "a 'b' $(c)"},
     [f"promote --from test --to staging --commit {SHA} --release '' --confirm DEPLOY --message "
      + shlex.quote("a 'b' $(c)")]),
    ({"promote": "test", "confirm": "DEPLOY", "commit": SHA, "release": "r-1", "reason": "v1"},
     [f"promote --from test --to staging --commit {SHA} --release r-1 --confirm DEPLOY --message v1"]),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "commands"), DEPLOYMENTS, ids=[",".join(each[0]) or "up" for each in DEPLOYMENTS])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_deployment_runs_what_its_inputs_say(
    inputs: dict[str, Any],
    commands: list[str],
    by_hand: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """By hand there is no input for the checks: the repository's variable says whether they decide."""
    variables = {"SLIPWAY_ENABLED": "true"}
    if by_hand and inputs.get("await-checks"):
        inputs = {key: value for key, value in inputs.items() if key != "await-checks"}
        variables["SLIPWAY_AWAIT_CHECKS"] = "true"
    contexts = {"vars": variables}
    job, ran = played(tmp_path, "deploy.yml", inputs={"stack": "staging", **inputs}, contexts=contexts)
    bundle = [] if inputs.get("plan") else ["export --stack staging --to bundle/"]
    assert [understood(words) for words in ran]
    expected = [shlex.split(each) for each in [*commands, *bundle, "status --stack staging"]]
    assert [" ".join(words) for words in ran] == [" ".join(words) for words in expected]
    assert job.wanted


def test_a_rollback_that_waits_gives_way_to_no_deployment(tmp_path: Path) -> None:
    """GitHub keeps one waiting job of a group."""
    inputs = ({}, {"pin": "v1"}, {"promote": "test"}, {"rollback": True})
    jobs = [Job("deploy.yml", tmp_path, {}, inputs={"stack": "staging", **each}) for each in inputs]
    groups = [job.filled(job.job["concurrency"]["group"]) for job in jobs]
    assert groups == ["deploy-staging", "deploy-staging", "deploy-staging", "deploy-rollback-staging"]


@pytest.mark.parametrize("pin", ["", "v1"])
def test_a_pin_is_set_only_where_one_is_given(pin: str, tmp_path: Path) -> None:
    job = Job("deploy.yml", tmp_path, {}, inputs={"stack": "staging", "pin": pin})
    up = [step for step in job.job["steps"] if "slipway up" in step.get("run", "") and job._holds(step["if"])]
    assert [step["env"].get("SLIPWAY_PIN") for step in up] == ["${{ inputs.pin }}" if pin else None]


def test_after_a_failure_nothing_is_validated_and_a_bundle_is_kept(tmp_path: Path) -> None:
    job, ran = played(tmp_path, "deploy.yml", fails="up", inputs={"stack": "staging"})
    assert not job.succeeded  # type: ignore[attr-defined]
    assert [words[0] for words in ran] == ["up", "export", "status"]


def test_the_environments_credentials_are_declared_for_callers() -> None:
    text = (WORKFLOWS / "deploy.yml").read_text()
    declared = yaml.safe_load(text)[True]["workflow_call"]["secrets"]
    assert set(SECRETS.findall(text)) == set(declared)


# --- who calls it


CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("staging.yml", {}, {"stack": "staging", "await-checks": False}),
    ("staging.yml", {"vars": {"SLIPWAY_AWAIT_CHECKS": "true"}}, {"stack": "staging", "await-checks": True}),
    ("refresh.yml", {}, {"stack": "staging", "refresh": True, "await-checks": False}),
    ("production.yml", {"github": {"event_name": "workflow_dispatch"}, "inputs": {"confirm": "no", "reason": "x"}},
     {"stack": "production", "promote": "staging", "commit": "", "release": "", "confirm": "no", "reason": "x"}),
    ("production.yml",
     {"github": {"event_name": "push", "sha": "x"},
      "inputs": {"commit": SHA, "release": "r", "confirm": "DEPLOY", "reason": "v"}},
     {"stack": "production", "promote": "staging", "commit": SHA, "release": "r", "confirm": "DEPLOY", "reason": "v"}),
    ("production.yml",
     {"github": {"event_name": "release", "sha": SHA, "event": {"release": {"tag_name": "v1"}}}},
     {"stack": "production", "promote": "staging", "commit": SHA, "release": "", "confirm": "DEPLOY", "reason": "v1"}),
    ("rollback.yml", {"inputs": {"stack": "production", "to": "r-1", "plan": True, "reason": "x"}},
     {"stack": "production", "rollback": True, "to": "r-1", "plan": True, "reason": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("workflow", "given", "inputs"), CALLS)
def test_a_caller_hands_on_what_it_was_given(workflow: str, given: dict[str, Any], inputs: dict[str, Any]) -> None:
    file, handed, secrets = called(workflow, **given)
    declared = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())[True]["workflow_call"]
    assert (file, handed) == ("deploy.yml", inputs)
    assert set(handed) <= set(declared["inputs"])
    assert set(secrets) == set(declared["secrets"])


VERSIONS = [
    # tags that are there, what is chosen, or what the file VERSION has → the next tag
    ([], "patch", "v0.0.1"), (["v1.2.0"], "minor", "v1.3.0"), (["v1.2.0", "nightly"], "prerelease", "v1.2.1-rc.1"),
    (["v1.3.0-rc.1"], "prerelease", "v1.3.0-rc.2"), (["v1.3.0-rc.2"], "minor", "v1.3.0"),
    ([], "VERSION 2.0.0", "v2.0.0"), ([], "VERSION 2.0.0-rc.1\n#", "v2.0.0-rc.1"), ([], "VERSION 2", None),
    ([], 'VERSION $(id)"', None),
]  # fmt: skip


@pytest.mark.parametrize(("tags", "chosen", "tag"), VERSIONS)
def test_the_next_version_follows_the_last_tag_or_is_what_the_file_says(
    tags: list[str], chosen: str, tag: str | None, tmp_path: Path
) -> None:
    assert f"semver=={importlib.metadata.version('semver')} " in (WORKFLOWS / "release.yml").read_text()
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    for name in ["first", *tags]:
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", name], check=True)
        subprocess.run([*git, "tag", *([name] if name in tags else ["-l"])], check=True, capture_output=True)
    (tmp_path / "uvx").write_text(f'#!/bin/sh\nshift 3\nexec {Path(sys.executable).parent}/pysemver "$@"\n')
    (tmp_path / "uvx").chmod(0o755)
    given: dict[str, Any] = {"inputs": {"level": chosen}, "contexts": {"github": {"event_name": "workflow_dispatch"}}}
    if chosen.startswith("VERSION "):
        (tmp_path / "VERSION").write_text(chosen.removeprefix("VERSION "))
        given = {"contexts": {"github": {"event_name": "push"}}}
    job = Job("release.yml", tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, name="version", **given)
    assert job.play() is (tag is not None), job.said
    assert job.filled(job.job["outputs"]["tag"]) == (tag or "")


@pytest.mark.parametrize(("tag", "prerelease"), [("v1.2.0", "false"), ("v1.3.0-rc.1", "true")])
def test_a_release_tags_what_ran_in_staging_and_only_a_stable_one_goes_on(
    tag: str, prerelease: str, tmp_path: Path
) -> None:
    needs = {"version": {"outputs": {"tag": tag}}}
    (tmp_path / "gh").write_text('#!/bin/sh\nprintf "%s\\n" gh "$@" . >> "$RAN"\n')
    (tmp_path / "gh").chmod(0o755)
    _, ran = played(tmp_path, "release.yml", name="release", contexts={"needs": needs, "github": {"token": "t"}})
    assert [" ".join(each) for each in ran] == [
        f"tag {tag} --stack staging --commit {SHA}",
        f"gh release create {tag} --target {SHA} --generate-notes --prerelease={prerelease}",
    ]
    assert understood(ran[0])
    jobs = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]
    assert (jobs["deploy"]["with"]["stack"], jobs["release"]["needs"]) == ("staging", ["version", "deploy"])
    assert jobs["promote"]["needs"] == ["version", "release"]
    job = Job("release.yml", tmp_path, {}, name="release", contexts={"needs": needs})
    job.given["steps"] = {"tag": {"outputs": {"release": "r-1"}}}
    assert job.filled(jobs["release"]["outputs"]["release"]) == "r-1"
    assert jobs["promote"]["with"]["release"] == "${{ needs.release.outputs.release }}"
    assert Job("release.yml", tmp_path, {}, name="promote", contexts={"needs": needs}).wanted is (prerelease == "false")
    _, ran = played(tmp_path, "release.yml", name="release", fails="tag", contexts={"needs": needs})
    assert len(ran) == 1, "nothing is released that has no image"


@pytest.mark.parametrize("name", ["staging.yml", "production.yml", "release.yml", "rollback.yml", "refresh.yml"])
def test_a_caller_grants_exactly_what_the_deployment_asks_for(name: str) -> None:
    asked = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())["jobs"]["deploy"]["permissions"]
    jobs = yaml.safe_load((WORKFLOWS / name).read_text())["jobs"].values()
    granted = [job["permissions"] for job in jobs if "uses" in job]
    assert granted
    assert all(each == asked for each in granted)


@pytest.mark.parametrize(
    ("release", "wanted"), [({}, True), ({"prerelease": False}, True), ({"prerelease": True}, False)]
)
def test_a_prerelease_is_not_promoted(release: dict[str, Any], wanted: bool, tmp_path: Path) -> None:  # noqa: FBT001
    contexts = {"github": {"event_name": "release", "event": {"release": release}}}
    for name in ("promote", "approval"):
        assert Job("production.yml", tmp_path, {}, name=name, contexts=contexts).wanted is wanted


@pytest.mark.parametrize(
    ("contexts", "inputs", "reason"),
    [
        ({"event_name": "release", "event": {"release": {"tag_name": "v1"}}}, {}, "v1"),
        ({"event_name": "workflow_dispatch"}, {"confirm": "DEPLOY", "reason": "a 'b' $(c)"}, "a 'b' $(c)"),
        ({"event_name": "workflow_dispatch"}, {"confirm": "deploy", "reason": "x"}, None),
    ],
)
def test_who_can_approve_is_told_what_waits(
    contexts: dict[str, Any], inputs: dict[str, Any], reason: str | None, tmp_path: Path
) -> None:
    job, ran = played(tmp_path, "production.yml", name="approval", inputs=inputs, contexts={"github": contexts})
    assert job.wanted is (reason is not None)
    assert job.job["environment"]["name"] == "observe", "that of the stack itself waits for the approval"
    if reason:
        assert ran == [["notify", "approval-needed", "--stack", "production", "--reason", reason]]
        assert understood(ran[0])


# --- previews and drift


def _pull_request(repository: str, user: str = "ann") -> dict[str, Any]:
    event = {"pull_request": {"head": {"repo": {"full_name": repository}}, "user": {"login": user}}}
    return {"github": {"repository": "acme/shop", "event": event}}


@pytest.mark.parametrize(
    ("contexts", "wanted"),
    [
        (_pull_request("acme/shop"), True),
        (_pull_request("stranger/shop"), False),
        (_pull_request("acme/shop", "dependabot[bot]"), False),
        ({**_pull_request("acme/shop"), "vars": {}}, False),
    ],
)
def test_strangers_get_no_preview(contexts: dict[str, Any], wanted: bool, tmp_path: Path) -> None:  # noqa: FBT001
    assert Job("preview.yml", tmp_path, {}, contexts=contexts).wanted is wanted


@pytest.mark.parametrize(
    ("result", "good"), [("success", True), ("skipped", True), ("failure", False), ("cancelled", False)]
)
def test_the_check_of_a_preview_always_reports(result: str, good: bool, tmp_path: Path) -> None:  # noqa: FBT001
    job, _ = played(tmp_path, "preview.yml", name="preview", contexts={"needs": {"stack": {"result": result}}})
    assert job.wanted
    assert job.succeeded is good  # type: ignore[attr-defined]
    assert job.summary.exists() == (result == "skipped")


def test_a_branch_never_runs_with_productions_credentials() -> None:
    job = yaml.safe_load((WORKFLOWS / "preview.yml").read_text())["jobs"]["stack"]
    assert (job["environment"], job["strategy"]["matrix"]["stack"]) == ("preview", ["staging"])
    for file, _, other in JOBS:
        events = yaml.safe_load((WORKFLOWS / file).read_text())[True]
        if "pull_request" in events and SECRETS.search(str(other)):
            environment = other["environment"]
            assert (file, environment if isinstance(environment, str) else environment["name"]) in {
                ("preview.yml", "preview"), ("pr-environment.yml", "pr"),
            }  # fmt: skip
        assert "pull_request_target" not in events


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ("preview.yml", "preview --stack staging --markdown --comment"),
        ("drift.yml", "preview --stack staging --issue"),
        ("health.yml", "health --quiet --notify --state health.json"),
    ],
)
def test_previews_run_for_the_stack_of_the_matrix(workflow: str, expected: str, tmp_path: Path) -> None:
    _, ran = played(tmp_path, workflow, contexts={"matrix": {"stack": "staging"}})
    assert [" ".join(words) for words in ran] == [expected]
    assert [understood(words) for words in ran]


@pytest.mark.parametrize(("inputs", "last"), [({}, "--yes"), ({"plan": True}, "--plan"), ({"plan": False}, "--yes")])
def test_a_clean_up_by_hand_only_shows_what_would_go(inputs: dict[str, Any], last: str, tmp_path: Path) -> None:
    assert yaml.safe_load((WORKFLOWS / "cleanup.yml").read_text())[True]["workflow_dispatch"]["inputs"]["plan"][
        "default"
    ]
    _, ran = played(tmp_path, "cleanup.yml", inputs=inputs)
    assert [" ".join(words) for words in ran] == [f"prune --keep-tag v* {last}"]
    assert understood(ran[0])


PULL_REQUEST_EVENTS = [
    # what happened, the labels that are there afterwards, the label that came or went → the command
    ("opened", [], "", ""),
    ("opened", ["environment"], "", "pr up 7"),
    ("synchronize", ["bug", "environment"], "", "pr up 7"),
    ("labeled", ["environment"], "environment", "pr up 7"),
    ("unlabeled", [], "environment", "pr down 7"),
    ("unlabeled", ["environment"], "bug", "pr up 7"),
    ("unlabeled", [], "bug", ""),
    ("closed", ["environment"], "", "pr down 7"),
    ("closed", [], "", ""),
]
AFTER_THE_END = [
    ("labeled", ["environment", "released"], "released", "pr down 7"),
    ("unlabeled", ["environment"], "bug", "pr down 7"),
    ("labeled", ["environment"], "environment", "pr down 7"),
    ("labeled", ["released"], "released", ""),
]


@pytest.mark.parametrize(
    ("state", "event", "command"),
    [
        *(("closed" if event[0] == "closed" else "open", event, command) for *event, command in PULL_REQUEST_EVENTS),
        *(("closed", event, command) for *event, command in AFTER_THE_END),
    ],
)
def test_an_environment_comes_with_the_label_and_goes_with_it_or_the_pull_request(
    state: str, event: list[Any], command: str, tmp_path: Path
) -> None:
    action, labels, label = event
    contexts = _pull_request("acme/shop")
    contexts["github"] |= {"event_name": "pull_request", "workspace": str(tmp_path)}
    contexts["github"]["event"] |= {"action": action, "label": {"name": label} if label else None}
    contexts["github"]["event"]["pull_request"] |= {
        "number": 7,
        "state": state,
        "labels": [{"name": each} for each in labels],
    }
    assert Job("pr-environment.yml", tmp_path, {}, contexts=contexts).wanted is bool(command)
    if command:
        _, ran = played(tmp_path, "pr-environment.yml", contexts=contexts)
        assert [" ".join(words) for words in ran] == [command]
        assert understood(ran[0])
    contexts["github"]["event"]["pull_request"]["head"]["repo"]["full_name"] = "stranger/shop"
    assert not Job("pr-environment.yml", tmp_path, {}, contexts=contexts).wanted


def test_a_run_that_does_nothing_for_a_pull_request_cancels_none_that_waits() -> None:
    """GitHub keeps one waiting run of a group: a workflow's group has those whose job is skipped, too."""
    text = yaml.safe_load((WORKFLOWS / "pr-environment.yml").read_text())
    assert "concurrency" not in text
    assert "pull_request.number" in text["jobs"]["environment"]["concurrency"]["group"]


def test_at_night_what_is_left_of_pull_requests_goes(tmp_path: Path) -> None:
    job, ran = played(tmp_path, "pr-environment.yml", contexts={"github": {"event_name": "schedule"}})
    assert job.wanted
    assert [" ".join(words) for words in ran] == ["pr sweep --days 14"]


# --- what an application gets


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def test_what_is_written_are_the_shipped_ones(repository: Path) -> None:
    (repository / "example").mkdir()
    written = workflows_for(repository, repository / "example", (*STACKS, "pr"))
    assert {file.name for file in written} == set(shipped.WORKFLOWS)
    for file, text in written.items():
        assert text == (WORKFLOWS / file.name).read_text()


def test_folder_stacks_branch_and_runner_are_the_repositorys(repository: Path) -> None:
    subprocess.run(["git", "-C", repository, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop"],
                   check=True)  # fmt: skip
    project = repository / "ops" / "deploy"
    project.mkdir(parents=True)
    written = workflows_for(project, repository, ("dev", "test", "live"), runner=("self-hosted", "deploy"))
    texts = {file.name: text for file, text in written.items()}
    assert set(texts) == ALWAYS | {"dev.yml", "live.yml", "release.yml", "refresh.yml"}
    for text in texts.values():
        assert not re.search(r"staging|production|ubuntu|When this project is a folder", text)
    found = {name: yaml.safe_load(text) for name, text in texts.items()}
    assert found["dev.yml"][True]["push"]["branches"] == ["develop"]
    assert found["live.yml"]["jobs"]["promote"]["with"] | {"commit": 0, "release": 0, "confirm": 0, "reason": 0} == {
        "stack": "live", "promote": "dev", "commit": 0, "release": 0, "confirm": 0, "reason": 0,
    }  # fmt: skip
    for name in ("deploy.yml", "rollback.yml"):
        assert found[name][True]["workflow_dispatch"]["inputs"]["stack"]["options"] == ["dev", "test", "live"]
    assert found["preview.yml"]["jobs"]["stack"]["strategy"]["matrix"]["stack"] == ["dev", "test"]
    assert found["drift.yml"]["jobs"]["stack"]["strategy"]["matrix"]["stack"] == ["dev", "test", "live"]
    assert found["drift.yml"]["env"]["PROJECT_FOLDER"] == "ops/deploy"
    assert found["drift.yml"]["jobs"]["stack"]["runs-on"] == ["self-hosted", "deploy"]
    assert "inputs.folder || 'ops/deploy'" in texts["deploy.yml"]
    assert """fromJSON(inputs.runner || '["self-hosted", "deploy"]')""" in texts["deploy.yml"]


@pytest.mark.parametrize("stack", ["1.0", "on", "0x1"])
def test_a_stacks_name_stays_text(stack: str, repository: Path) -> None:
    texts = {file.name: text for file, text in workflows_for(repository, repository, ("test", stack)).items()}
    assert yaml.safe_load(texts["drift.yml"])["jobs"]["stack"]["strategy"]["matrix"]["stack"] == ["test", stack]
    assert yaml.safe_load(texts[f"{stack}.yml"])["jobs"]["promote"]["with"]["stack"] == stack


def test_a_stack_called_like_another_workflow_does_not_replace_it(repository: Path) -> None:
    names = {file.name for file in workflows_for(repository, repository, ("preview", "live"))}
    assert names == ALWAYS | {"stack-preview.yml", "live.yml", "release.yml", "refresh.yml"}
    written = workflows_for(repository, repository, ("preview", "1.0"))
    release = next(text for file, text in written.items() if file.name == "release.yml")
    called = {job["uses"] for job in yaml.safe_load(release)["jobs"].values() if "uses" in job}
    assert called == {"./.github/workflows/deploy.yml", "./.github/workflows/1.0.yml"}


def test_one_stack_alone_has_nothing_to_promote_to(repository: Path) -> None:
    names = {file.name for file in workflows_for(repository, repository, ("live",))}
    assert names == ALWAYS | {"live.yml"}


def test_the_template_of_pull_requests_is_deployed_by_no_other_workflow(repository: Path) -> None:
    source = repository / "shop"
    source.mkdir()
    alone = workflows_for(repository, source, ("pr",))
    assert {file.name for file in alone} == {"pr-environment.yml"}
    beside = {file.name: text for file, text in workflows_for(repository, source, ("test", "pr", "live")).items()}
    assert beside.pop("pr-environment.yml") == next(iter(alone.values()))
    assert "APPLICATION_FOLDER: shop\n" in next(iter(alone.values()))
    without = workflows_for(repository, source, ("test", "live"))
    assert beside == {file.name: text for file, text in without.items()}


def test_what_only_a_person_can_do_is_three_things() -> None:
    assert by_hand(("test", "pr"))[0].endswith("; all but pr and preview for the default branch alone")
    environments, secrets, switch = by_hand(("test", "live"))
    assert "environments test, live, preview, observe" in environments
    assert "a colleague as reviewer of live" in environments
    assert environments.endswith("for the default branch alone; for live and observe the tags of releases (v*), too")
    assert yaml.safe_load((WORKFLOWS / "production.yml").read_text())[True]["release"], "a release runs on its tag"
    assert "those of preview for test alone" in secrets
    assert "gh variable set SLIPWAY_ENABLED --body true" in switch
