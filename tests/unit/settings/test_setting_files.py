"""Where a stack file is, and the commands that change a stack's settings."""

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings.setting_files import config_rm, config_set, entry, read_stack_file, set_host_key, stack_file

WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


def test_a_stack_file_is_beside_pulumi_yaml_or_where_that_says(tmp_path: Path) -> None:
    assert stack_file(tmp_path, "staging") == tmp_path / "Pulumi.staging.yaml"
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nstackConfigDir: stacks\n")
    assert stack_file(tmp_path, "staging") == tmp_path / "stacks" / "Pulumi.staging.yaml"
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nstackConfigDir: /stacks\n")  # as the engine reads it, too
    assert stack_file(tmp_path, "staging") == tmp_path / "stacks" / "Pulumi.staging.yaml"


@pytest.mark.parametrize("content", ["{{{", "- a\n", "", "name: shop\n"])
def test_a_strange_pulumi_yaml_is_the_engines_to_complain_of(tmp_path: Path, content: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text(content)
    assert stack_file(tmp_path, "staging").parent == tmp_path


def test_what_a_stack_file_states_is_told_apart_from_what_others_keep_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("config:\n  shop:retention: 3\n  aws:region: x\nencryptionsalt: v1\n")
    found = read_stack_file(tmp_path / "a", "shop")
    assert (found.entries, found.others, found.top) == ({"retention": 3}, {"aws:region": "x"}, {"encryptionsalt": "v1"})
    assert read_stack_file(tmp_path / "none", "shop").unreadable == ""
    (tmp_path / "b").write_text("config: 3\n")
    assert read_stack_file(tmp_path / "b", "shop").unreadable == "TypeError"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (config_set("a", "domain", "x.example"), "pulumi config set domain x.example --stack a"),
        (config_set("a", "sshKey", "< KEY", secret=True), "pulumi config set --secret sshKey --stack a < KEY"),
        (
            config_set("a", "secrets.X", secret=True),
            "pulumi config set --secret --path 'secrets.X' --stack a < /dev/tty",
        ),
        (config_set("a", "domain"), "pulumi config set domain --stack a < /dev/tty"),
        (
            config_set("a", "secrets.X", "openssl rand -hex 24 |", secret=True),
            "openssl rand -hex 24 | pulumi config set --secret --path 'secrets.X' --stack a",
        ),
        (config_rm("a", "hosts[0]"), "pulumi config rm --path 'hosts[0]' --stack a"),
        (
            set_host_key("a", "hosts[0]", "10.0.0.1", 22),
            "pulumi config set --path 'hosts[0].hostKey' \"$(ssh-keyscan -p 22 10.0.0.1)\" --stack a",
        ),
    ],
)
def test_a_printed_command_acts_on_its_stack(command: str, expected: str) -> None:
    assert command == expected


@given(st.sampled_from(["secrets", "variables"]), WORDS, WORDS)
def test_no_name_in_a_printed_command_is_more_than_a_name_to_a_shell(section: str, name: str, key: str) -> None:
    path = entry(section, name)
    assert path == f"{section}.{name}" or json.loads(path.removeprefix(section)) == [name]
    assert shlex.split(config_set("a", path, secret=True)) == [
        "pulumi", "config", "set", "--secret", "--path", path, "--stack", "a", "<", "/dev/tty",
    ]  # fmt: skip
    words = shlex.split(config_rm(key, key))
    assert [word for word in words if word != "--path"] == ["pulumi", "config", "rm", key, "--stack", key]
