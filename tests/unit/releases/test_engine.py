"""How a command finds a stack. The engine here is a script that answers as the real one does."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.compose.application import Application
from slipway.contract.problems import SlipwayError
from slipway.releases.engine import engine_of, program_folder, read_stack
from slipway.settings.model import Settings

Engine = Callable[..., Callable[[], list[str]]]

CONFIGURATION = {
    "shop:application": {"value": "app", "secret": False},
    "shop:hosts": {"value": '[{"name":"web-1","address":"local"}]', "objectValue": [], "secret": False},
    "shop:secrets": {"value": '{"API_TOKEN":"canary-secret-value"}', "objectValue": {}, "secret": True},
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program with an application, and the current folder."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "app").mkdir()
    for name in [name for name in os.environ if name.startswith(("SLIPWAY_", "PULUMI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def read(settings: Settings) -> Application:
        return Application(
            name="shop",
            stack=f"shop-{settings.stack}",
            builds={},
            images={},
            document={},
            files={},
            secrets=(),
            entries={},
        )

    monkeypatch.setattr("slipway.compose.application.read_application", read)
    return tmp_path


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Put an engine on PATH that answers so; what it was called with."""

    def answers(
        *, configuration: object = CONFIGURATION, selected: str = "", stderr: str = "", code: int = 0
    ) -> Callable[[], list[str]]:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "configuration.json").write_text(json.dumps(configuration))
        script = folder / "pulumi"
        script.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {folder}/calls\n'
            f"[ {code} = 0 ] || {{ echo '{stderr}' >&2; exit {code}; }}\n"
            f'case "$1" in stack) echo "{selected}";; config) cat {folder}/configuration.json;; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return lambda: (folder / "calls").read_text().splitlines()

    return answers


def test_the_named_stack_is_read_with_its_secrets(program: Path, engine: Engine) -> None:
    calls = engine()
    found = read_stack("team/shop/staging")
    assert found.settings.stack == "staging"
    assert found.project == "shop-staging"
    assert found.settings.secrets["API_TOKEN"].get_secret_value() == "canary-secret-value"
    assert found.settings.application == program / "app"
    assert calls() == [f"config --json --show-secrets --stack team/shop/staging --cwd {program} --non-interactive"]


@pytest.mark.parametrize(
    ("stated", "given"),
    [
        ("config: {'shop:sshKey': {secure: v1:AAA}}", None),
        ("config: {'shop:sshKeyFile': ~/.ssh/id, 'other:sshKey': x}", "of another"),
        ("config: {'shop:sshKey': ''}", "of another"),
        ("", "of another"),
    ],
)
def test_the_key_of_another_stack_comes_after_that_of_its_own_file(
    program: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, stated: str, given: str | None
) -> None:  # fmt: skip
    engine()
    monkeypatch.setenv("SLIPWAY_SSH_KEY", "of another")
    (program / "Pulumi.staging.yaml").write_text(stated)
    assert engine_of("team/shop/staging", own_key=True).environment.get("SLIPWAY_SSH_KEY") == given
    assert engine_of("team/shop/staging").environment["SLIPWAY_SSH_KEY"] == "of another"


def test_without_a_name_the_selected_stack_is_read(program: Path, engine: Engine) -> None:
    calls = engine(selected="production")
    (program / "app" / "deep").mkdir()
    os.chdir(program / "app" / "deep")
    assert read_stack("").settings.stack == "production"
    assert calls()[0] == f"stack --show-name --cwd {program} --non-interactive"
    assert "--stack production" in calls()[1]


def test_no_selected_stack_is_an_error_that_says_how_to_name_one(program: Path, engine: Engine) -> None:
    engine(code=255, stderr="error: no stack selected")
    with pytest.raises(
        SlipwayError, match=r"no stack is selected \(no stack selected\) — .+ — pulumi stack ls && pulumi stack select"
    ):
        read_stack("")
    assert program.is_dir()


def test_what_the_engine_complains_of_is_told(program: Path, engine: Engine) -> None:
    engine(code=255, stderr="error: no stack named staging found")
    with pytest.raises(SlipwayError, match="no stack named staging found"):
        read_stack("staging")
    assert program.is_dir()


def test_a_wrong_passphrase_is_told_with_the_variable_that_mends_it(program: Path, engine: Engine) -> None:
    engine(code=255, stderr="error: incorrect passphrase")
    with pytest.raises(SlipwayError, match=r"\(incorrect passphrase\) — .+ — read -rs PULUMI_CONFIG_PASSPHRASE &&"):
        read_stack("staging")
    assert program.is_dir()


def test_an_unusable_setting_is_told_without_any_secret(program: Path, engine: Engine) -> None:
    engine(configuration=CONFIGURATION | {"shop:retention": {"value": "many", "secret": False}})
    with pytest.raises(SlipwayError) as raised:
        read_stack("staging")
    assert "retention: " in str(raised.value)
    assert "canary" not in str(raised.value)
    assert program.is_dir()


def test_a_stack_called_local_elsewhere_is_like_any_other(program: Path, engine: Engine) -> None:
    calls = engine()
    (program / ".slipway" / "state").mkdir(parents=True)
    assert read_stack("local").settings.stack == "local"
    assert len(calls()) == 1


@pytest.fixture
def made_here(program: Path, tmp_path: Path) -> Path:
    """What `make up` leaves in .slipway/; the folder."""
    folder = program / ".slipway"
    (folder / "state").mkdir(parents=True)
    (folder / "secrets.json").write_text('{"API_TOKEN": "kept", "OTHER": "kept"}')
    prepare = tmp_path / "prepare"
    prepare.write_text('#!/bin/sh\necho preparing >&2\necho \'{"SLIPWAY_REGISTRY": "127.0.0.1:5000"}\'\n')
    prepare.chmod(0o755)
    tools = {"environment": {"PATH": str(tmp_path / "tools"), "PULUMI_HOME": "/ours"}, "prepare": [str(prepare)]}
    (folder / "machine.json").write_text(json.dumps(tools))
    return folder


def test_the_stack_that_make_up_made_is_read_from_its_own_state_with_its_own_secrets(
    made_here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = engine()
    monkeypatch.setenv("SLIPWAY_SECRETS", '{"API_TOKEN": "given"}')
    read_stack("local")
    assert f"--config-file {made_here}/Pulumi.local.yaml" in calls()[0]
    found = engine_of("local").environment
    assert found["PULUMI_BACKEND_URL"] == (made_here / "state").as_uri()
    assert found["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(made_here / "passphrase")
    assert json.loads(found["SLIPWAY_SECRETS"]) == {"API_TOKEN": "given", "OTHER": "kept"}


def test_a_deployment_of_the_stack_that_make_up_made_gets_this_machines_registry(
    made_here: Path, engine: Engine
) -> None:
    engine()
    found = engine_of("local", deploys=True)
    assert found.environment["SLIPWAY_REGISTRY"] == "127.0.0.1:5000"
    assert list(found.options) == ["--config-file", f"{made_here}/Pulumi.local.yaml", "--stack", "local"]
    assert "SLIPWAY_REGISTRY" not in engine_of("local").environment


def test_a_machine_that_cannot_be_made_ready_is_an_error_with_the_fix(made_here: Path, engine: Engine) -> None:
    engine()
    (made_here / "machine.json").write_text('{"environment": {}, "prepare": ["false"]}')
    with pytest.raises(SlipwayError, match=r"this machine is not ready for the stack local — .* — make up"):
        engine_of("local", deploys=True)


def test_the_engine_that_make_up_got_is_used_where_none_is_on_path(
    made_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SlipwayError, match="pulumi is not on PATH"):
        engine_of("staging")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "pulumi").write_text("#!/bin/sh\n")
    (tmp_path / "tools" / "pulumi").chmod(0o755)
    environment = engine_of("staging").environment
    assert (environment["PATH"], environment["PULUMI_HOME"]) == (f"{tmp_path}/nothing:{tmp_path}/tools", "/ours")
    assert made_here


def test_the_program_is_found_from_any_folder_of_it(program: Path, tmp_path: Path) -> None:
    (program / "app" / "deep").mkdir()
    assert program_folder(program / "app" / "deep") == tmp_path
    with pytest.raises(SlipwayError, match=r"there is no Pulumi\.yaml here or above"):
        program_folder(Path("/"))
