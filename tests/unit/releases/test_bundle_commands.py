"""`slipway export` and `slipway import` as a whole. The engine here is a script that keeps stacks as JSON files; that
the real one behaves so is what tests/engine/test_stack_bundles.py shows."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from test_bundle_state import STATE

from slipway.cli.main import main
from slipway.contract.problems import SlipwayError
from slipway.releases.bundles.exporting import KEPT, keep_backup
from slipway.releases.engine import Engine

SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/bundle.schema.json").read_text())
CANARY = "canary-secret-value"

_SCRIPT = """\
#!{python} -IS
import json, os, pathlib, sys
words = sys.argv[1:]
home = pathlib.Path(os.environ["PULUMI_BACKEND_URL"].removeprefix("file://"))
value = lambda name: words[words.index(name) + 1] if name in words else ""
root, stack = pathlib.Path(value("--cwd")), value("--stack")
with open({calls!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
def end(message="", code=1):
    sys.exit(sys.stderr.write("error: " + message + "\\n") and code)
if not home.is_dir():
    end("unable to open bucket")
file = home / (stack + ".json")
own = root / ("Pulumi." + stack + ".yaml")
known = json.loads(file.read_text()) if file.is_file() else None
never = {{"manifest": {{"time": "2026-11-20T14:00:00Z"}}}}
empty = {{"state": {{"version": 3, "deployment": never}}, "tags": {{}}}}
if words[:2] == ["stack", "init"]:
    if known:
        end("stack already exists")
    if os.environ.get("PULUMI_CONFIG_PASSPHRASE") != "right":
        end("incorrect passphrase")
    if not own.is_file():
        own.write_text("encryptionsalt: v1:new\\n")
    known = empty
elif known is None:
    end("no stack named '" + stack + "' found", 6)
elif words[:2] == ["stack", "export"]:
    print(json.dumps(known["state"]))
elif words[:2] == ["stack", "import"]:
    if (home / "locked").exists():
        end("the stack is currently locked by 1 lock(s). Either wait or delete the lock file with `pulumi cancel`.")
    given = json.loads(pathlib.Path(value("--file")).read_text())
    known["state"] = given
elif words[:3] == ["stack", "tag", "ls"]:
    print(json.dumps(known["tags"]))
elif words[:3] == ["stack", "tag", "set"]:
    known["tags"][words[3]] = words[4]
else:
    end("what? " + " ".join(words))
if words[1] in ("init", "import") or words[2] == "set":  # several at once may only read
    file.write_text(json.dumps(known))
"""


@dataclass
class Program:
    """A copy of the program with a backend."""

    folder: Path
    backend: Path

    def keep(self, stack: str = "staging", state: object = STATE, updates: int = 3, **tags: str) -> None:
        (self.backend / f"{stack}.json").write_text(json.dumps({"state": state, "tags": tags}))
        history = self.backend / f".pulumi/history/slipway/{stack}"
        shutil.rmtree(history, ignore_errors=True)
        history.mkdir(parents=True)
        for number in range(updates):
            update = {"kind": "update", "startTime": 1, "result": "succeeded"}
            (history / f"{stack}-{number}.history.json").write_text(json.dumps(update))

    def kept(self, stack: str = "staging") -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.backend / f"{stack}.json").read_text())
        return document

    def lose(self) -> None:
        shutil.rmtree(self.backend)

    def calls(self) -> list[list[str]]:
        file = self.folder / "bin/calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def stack_file(self) -> Path:
        return self.folder / "Pulumi.staging.yaml"


Slipway = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program whose stack `staging` was deployed three times."""
    program = Program(tmp_path / "program", tmp_path / "state")
    (program.folder / "bin").mkdir(parents=True)
    program.backend.mkdir()
    (program.folder / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    program.stack_file.write_text("# ours\nencryptionsalt: v1:salt\nconfig:\n  slipway:domain: example.com\n")
    script = program.folder / "bin/pulumi"
    script.write_text(_SCRIPT.format(python=sys.executable, calls=str(program.folder / "bin/calls")))
    script.chmod(0o755)
    for name in ("PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", program.backend.as_uri())
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "right")
    monkeypatch.chdir(program.folder)
    program.keep(team="shop", **{"pulumi:project": "slipway"})
    return program


@pytest.fixture
def slipway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Slipway:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["slipway", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        told = capsys.readouterr()
        return (code if isinstance(code, int) else 0), told.out, told.err

    return run


@pytest.fixture
def bundle(program: Program, slipway: Slipway) -> str:
    """A bundle of the stack, elsewhere."""
    place = str(program.folder.parent / "elsewhere.tar.gz")
    assert slipway("export", "-s", "staging", "--to", place)[0] == 0
    return place


def valid(kind: str, text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    jsonschema_rs.validator_for({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]}).validate(document)
    return document


def engine(program: Program) -> Engine:
    return Engine(root=program.folder, stack="staging", environment=dict(os.environ), options=["--stack", "staging"])


# --- export


def test_export_writes_the_bundle_here_and_says_how_it_comes_back(program: Program, slipway: Slipway) -> None:
    code, out, error = slipway("export", "--stack", "staging")
    assert (code, error) == (0, "")
    first, *_, last = out.splitlines()
    assert first == "slipway-staging-3.slipway.tar.gz"
    assert last == f"to restore it: slipway import {first}"
    told = subprocess.run(["sha256sum", first], capture_output=True, text=True, check=True).stdout.split()[0]
    assert f"sha256   {told}" in out
    assert all("--show-secrets" not in call for call in program.calls())


def test_exports_json_is_as_its_schema_says(program: Program, slipway: Slipway) -> None:
    code, out, _ = slipway("export", "-s", "staging", "--json", "--to", "kept/")
    document = valid("exported", out)
    assert code == 0
    assert document["bundle"] == "kept/slipway-staging-3.slipway.tar.gz"
    assert document["size"] == (program.folder / document["bundle"]).stat().st_size
    assert {key: document["manifest"][key] for key in ("project", "stack", "backend", "update", "resources")} == {
        "project": "slipway", "stack": "staging", "backend": "folder", "update": 3, "resources": 3,
    }  # fmt: skip


def test_export_of_no_stack_writes_nothing(program: Program, slipway: Slipway) -> None:
    code, out, error = slipway("export", "-s", "nowhere")
    assert (code, out) == (1, "")
    assert error.startswith(
        "slipway: error: pulumi stack export failed on stack nowhere (no stack named 'nowhere' found) — "
    )
    assert error.endswith(" — pulumi stack ls\n")
    assert not list(program.folder.glob("*.tar.gz"))


def test_export_without_a_backend_writes_nothing(program: Program, slipway: Slipway) -> None:
    program.lose()
    code, _, error = slipway("export", "-s", "staging")
    assert code == 1
    assert "unable to open bucket" in error
    assert error.count("\n") == 1
    assert not list(program.folder.glob("*.tar.gz"))


# --- import


def test_a_lost_backend_gets_its_stack_back_and_the_stack_file_stays(
    program: Program, slipway: Slipway, bundle: str
) -> None:
    before, file = program.kept(), program.stack_file.read_bytes()
    program.lose()
    code, out, error = slipway("import", bundle)
    assert (code, error) == (0, "")
    after = program.kept()
    assert after["state"] == before["state"]
    assert after["tags"] == {"team": "shop"}  # the engine sets its own
    assert program.stack_file.read_bytes() == file
    assert out.splitlines() == [
        f"created the backend's folder {program.backend}, which was gone",
        "created stack staging",
        "Pulumi.staging.yaml stays as it is",
        "restored the state: 3 resources, release none",
        "set tag team",
        "check whether the hosts match: pulumi preview --stack staging",
    ]


def test_twice_the_same_changes_nothing_and_says_so(program: Program, slipway: Slipway, bundle: str) -> None:
    before = program.kept()
    code, out, _ = slipway("import", bundle)
    assert code == 0
    assert "the backend has this state already" in out
    assert program.kept() == before
    assert not any(call[:2] in (["stack", "import"], ["stack", "init"]) for call in program.calls())
    assert valid("imported", slipway("import", bundle, "--json")[1])["changed"] is False


def test_imports_json_is_as_its_schema_says(program: Program, slipway: Slipway, bundle: str) -> None:
    program.lose()
    program.stack_file.unlink()
    assert valid("imported", slipway("import", bundle, "--json")[1]) == {
        "contract": 1, "bundle": bundle, "project": "slipway", "stack": "staging", "changed": True,
        "folder_made": str(program.backend), "stack_made": True, "stack_file": "restored", "resources": 3,
        "release": None, "tags": ["team"], "overridden": [], "backup": None,
    }  # fmt: skip


def test_a_lost_stack_file_comes_back_before_the_stack_is_made(program: Program, slipway: Slipway, bundle: str) -> None:
    file = program.stack_file.read_bytes()
    program.lose()
    program.stack_file.unlink()
    assert slipway("import", bundle)[0] == 0
    assert program.stack_file.read_bytes() == file  # not the new salt that `stack init` would have made


def test_a_stack_file_with_other_settings_is_kept_and_told(program: Program, slipway: Slipway, bundle: str) -> None:
    program.stack_file.write_text(program.stack_file.read_text().replace("example.com", "example.org"))
    program.lose()
    assert "which differs from the bundle's" in slipway("import", bundle)[1]
    assert "example.org" in program.stack_file.read_text()


def test_a_stack_file_with_another_salt_is_refused_before_anything_is_changed(
    program: Program, slipway: Slipway, bundle: str
) -> None:
    program.stack_file.write_text("encryptionsalt: v1:other\n")
    program.lose()
    code, out, error = slipway("import", bundle)
    assert (code, out) == (1, "")
    assert error.startswith(f"slipway: error: Pulumi.staging.yaml has another encryptionsalt than {bundle} — ")
    assert not program.backend.exists()
    code, out, _ = slipway("import", bundle, "--force")
    assert code == 0
    assert out.startswith("overridden: Pulumi.staging.yaml has another encryptionsalt")
    assert program.stack_file.read_text() == "encryptionsalt: v1:other\n"


@pytest.mark.parametrize("time", ["2026-11-20T15:00:00Z", "2026-11-20T13:00:00Z", ""])
def test_a_state_that_is_there_is_not_replaced_unasked(
    time: str, program: Program, slipway: Slipway, bundle: str
) -> None:
    other = copy.deepcopy(STATE)
    other["deployment"]["manifest"]["time"] = time
    other["deployment"]["resources"].pop()
    program.keep(state=other)
    code, out, error = slipway("import", bundle)
    assert (code, out) == (1, "")
    assert error.startswith("slipway: error: stack staging has a state already (2 resources, ")
    assert f"written {time[:19]}); the bundle's has 3 resources, " in error
    assert program.kept()["state"] == other

    code, out, _ = slipway("import", bundle, "--force", "--json")
    done = valid("imported", out)
    assert code == 0
    assert program.kept()["state"] == STATE
    assert len(done["overridden"]) == 1

    # what was there can come back in turn
    assert slipway("import", done["backup"], "--force")[0] == 0, done
    assert program.kept()["state"] == other


def test_a_stack_that_was_destroyed_since_is_not_filled_again_unasked(
    program: Program, slipway: Slipway, bundle: str
) -> None:
    empty = {"version": 3, "deployment": {"manifest": {"time": "2026-11-20T15:00:00Z"}}}
    program.keep(state=empty, updates=4)
    assert slipway("import", bundle)[0] == 1
    assert program.kept()["state"] == empty
    program.keep(state=empty, updates=0)  # `pulumi stack init` alone: somebody has begun to fix it
    assert slipway("import", bundle)[0] == 0
    assert program.kept()["state"] == STATE


def test_another_stacks_bundle_is_refused_and_forced_it_is_given_to_this_one(
    program: Program, slipway: Slipway, bundle: str
) -> None:
    code, _, error = slipway("import", bundle, "--stack", "demo")
    assert code == 1
    assert "is of stack 'staging' of project 'slipway', not of stack demo of project slipway — " in error
    assert not (program.backend / "demo.json").exists()
    code, out, _ = slipway("import", bundle, "--stack", "demo", "--force")
    assert code == 0
    assert "overridden: " in out
    assert "urn:pulumi:staging" not in json.dumps(program.kept("demo")["state"]["deployment"]["resources"][0])


def test_what_a_file_says_of_itself_cannot_repaint_the_terminal(program: Program, slipway: Slipway) -> None:
    text = json.dumps(STATE).replace("urn:pulumi:staging::slipway::", "urn:pulumi:staging::x\\u001b[2Jy::")
    (program.folder / "plain.json").write_text(text)
    code, _, error = slipway("import", "plain.json", "--stack", "staging")
    assert code == 1
    assert r"is of stack 'staging' of project 'x\x1b[2Jy', not of stack staging of project slipway" in error
    assert "\x1b" not in error


def test_every_reason_is_told_at_once(program: Program, slipway: Slipway, bundle: str) -> None:
    (program.folder / "Pulumi.demo.yaml").write_text("encryptionsalt: v1:other\n")
    program.keep("demo")
    code, _, error = slipway("import", bundle, "-s", "demo")
    assert code == 1
    assert [line.split("—")[0].split(" ")[2] for line in error.splitlines()] == [bundle, "Pulumi.demo.yaml", "stack"]


def test_a_plain_export_is_brought_back_too(program: Program, slipway: Slipway) -> None:
    (program.folder / "plain.json").write_text(json.dumps(STATE))
    program.lose()
    code, out, _ = slipway("import", "plain.json")
    assert code == 0
    assert program.kept()["state"] == STATE
    assert "Pulumi.staging.yaml stays as it is" in out


def test_a_damaged_bundle_changes_nothing(program: Program, slipway: Slipway, bundle: str) -> None:
    content = bytearray(Path(bundle).read_bytes())
    content[len(content) // 2] ^= 1
    Path(bundle).write_bytes(content)
    program.lose()
    code, out, error = slipway("import", bundle, "--force")
    assert (code, out) == (1, "")
    assert bundle in error
    assert not program.backend.exists()


def test_a_wrong_passphrase_is_told_and_the_next_try_goes_on(
    program: Program, slipway: Slipway, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.lose()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", CANARY)
    code, _, error = slipway("import", bundle)
    assert code == 1
    assert error.startswith("slipway: error: pulumi stack init failed on stack staging (incorrect passphrase) — ")
    assert "PULUMI_CONFIG_PASSPHRASE" in error
    assert CANARY not in error
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "right")
    assert slipway("import", bundle)[0] == 0


def test_a_lock_of_the_engines_is_told_with_its_own_way_out(program: Program, slipway: Slipway, bundle: str) -> None:
    program.lose()
    program.backend.mkdir()
    (program.backend / "locked").touch()
    code, _, error = slipway("import", bundle)
    assert code == 1
    assert "pulumi stack import failed on stack staging (the stack is currently locked" in error
    assert error.endswith("slipway lock --stack staging\n")
    (program.backend / "locked").unlink()
    assert slipway("import", bundle)[0] == 0
    assert program.kept()["state"] == STATE


@pytest.mark.parametrize("arguments", [("import",), ("import", "a", "b"), ("export", "staging"), ("export", "--for")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], slipway: Slipway) -> None:
    assert slipway(*arguments)[0] == 2


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_imports_nothing_heavy(command: str) -> None:
    text = (
        "import sys\n"
        f"sys.argv = ['slipway', {command!r}, '--help']\n"
        "from slipway.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'obstore', 'jsonschema_rs', 'rich', 'yaml', 'slipway.settings', 'slipway.releases.bundles'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


# --- backups


def test_a_backup_is_private_and_comes_back(program: Program, slipway: Slipway) -> None:
    path = keep_backup(engine(program))
    assert path.parent == program.folder / ".slipway/backups/staging"
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z\.slipway\.tar\.gz", path.name)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    program.lose()
    assert slipway("import", str(path))[0] == 0
    assert program.kept()["state"] == STATE


def test_the_newest_backups_of_each_stack_are_kept(program: Program) -> None:
    folder = program.folder / ".slipway/backups"
    names = [f"20261120T1310{number:02}.000000Z.slipway.tar.gz" for number in range(KEPT + 5)]
    for stack in ("staging", "staging-2"):
        (folder / stack).mkdir(parents=True)
        for name in names:
            (folder / stack / name).touch()
    path = keep_backup(engine(program))
    assert sorted(each.name for each in (folder / "staging").iterdir()) == [*names[6:], path.name]
    assert sorted(each.name for each in (folder / "staging-2").iterdir()) == names


def test_a_backup_never_takes_the_place_of_another(program: Program) -> None:
    one, other = keep_backup(engine(program)), keep_backup(engine(program))
    assert one != other
    assert one.exists()


def test_without_room_for_a_backup_the_caller_is_stopped(program: Program) -> None:
    (program.folder / ".slipway").write_text("in the way")
    with pytest.raises(SlipwayError, match="no bundle was kept"):
        keep_backup(engine(program))
