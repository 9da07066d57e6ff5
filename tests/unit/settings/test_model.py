"""The list of settings: the same in the model, in Pulumi.yaml and in the SDK that takes them."""

import re
from pathlib import Path
from typing import get_args, get_origin

import pulumi_docker_build as docker_build
import pytest
import yaml
from pydantic import BaseModel, ValidationError
from samples import CANARY, ROOT, settings

from slipway.settings.model import SECRET_KEYS, Settings, container_keys, known_keys
from slipway.settings.values import PLATFORMS, matching, plain_platform

DECLARED = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]


def engine_type(annotation: object) -> str:
    """An annotation in the words of Pulumi.yaml."""
    origin = get_origin(annotation)
    if origin in (list, dict):
        return {list: "array", dict: "object"}[origin]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {bool: "boolean", int: "integer"}.get(annotation, "string")  # type: ignore[call-overload]


def test_pulumi_yaml_has_every_setting_with_its_type() -> None:
    """Descriptions and defaults: tests/unit/test_documentation.py."""
    assert list(DECLARED) == list(known_keys())
    for key, field in known_keys().items():
        if key in SECRET_KEYS:
            assert DECLARED[key]["secret"] is True
            assert "type" not in DECLARED[key], "the engine would refuse every stack that does not set it"
        elif key != "composeFile":  # a list, or the one file as plain text: the engine knows no type for that
            assert DECLARED[key]["type"] == engine_type(field.annotation), key
            assert "secret" not in DECLARED[key]


def test_every_list_says_what_it_holds() -> None:
    for key, field in known_keys().items():
        if get_origin(field.annotation) is list and key != "composeFile":
            [held] = get_args(field.annotation)
            assert DECLARED[key]["items"]["type"] == ("object" if key == "hosts" else engine_type(held))


def test_every_setting_with_a_secret_value_is_a_secret_key() -> None:
    assert {key for key, field in known_keys().items() if "SecretStr" in str(field.annotation)} == set(SECRET_KEYS)


def test_lists_and_mappings_are_known_as_such() -> None:
    assert container_keys() == {
        "composeFile", "profiles", "platforms", "images", "hosts", "variables", "secrets", "removeVolumes", "moveFrom",
        "trustedProxies", "adoptVolumes", "adoptNetworks", "neighbours", "notify", "github", "hetzner",
    }  # fmt: skip


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings(tmp_path).retention = 7  # type: ignore[misc]


def test_a_validation_error_itself_holds_no_value(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(tmp_path, retention=CANARY, secrets=[CANARY], hosts=[{"name": CANARY, "port": CANARY}])
    assert CANARY not in str(raised.value) + repr(raised.value)


def test_platforms_are_those_that_the_builder_knows() -> None:
    assert set(PLATFORMS) == {each.value for each in docker_build.Platform if each.value.startswith("linux/")}


def test_a_variant_that_its_platform_means_anyway_is_left_out() -> None:
    assert plain_platform("linux/arm64/v8") == "linux/arm64"
    assert plain_platform("linux/arm/v7") == "linux/arm"
    assert plain_platform("linux/arm/v6") == "linux/arm/v6"


def test_a_pattern_is_of_the_whole_value() -> None:
    check = matching("[a-z]+", "otherwise")
    assert check.func("abc") == "abc"  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="otherwise"):
        check.func("abc\n")  # type: ignore[call-arg]


@pytest.mark.parametrize("file", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_the_stack_files_that_come_with_it_use_known_keys_and_hold_no_secret(file: Path) -> None:
    config = yaml.safe_load(file.read_text())["config"]
    keys = {key.removeprefix("slipway:") for key in config}
    assert keys <= set(known_keys())
    assert not keys & set(SECRET_KEYS)
    comments = re.findall(r"# (?:.*\| )?pulumi config set --secret (?:--path )?(\w+)", file.read_text())
    assert set(comments) <= set(SECRET_KEYS)


def test_every_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
