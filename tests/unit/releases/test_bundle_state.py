"""What is read of a state, and what is changed in one that is given to another stack."""

import copy
from typing import Any

import pytest

from slipway.contract.problems import SlipwayError
from slipway.releases.bundles.state import Owner, encryption_in, owner_of, renamed, resources_of, same

ROOT = "urn:pulumi:staging::slipway::pulumi:pulumi:Stack::slipway-staging"
CHILD = "urn:pulumi:staging::slipway::a:b:C$command:remote:Command::shop-staging-web-1"
PROVIDER = "urn:pulumi:staging::slipway::pulumi:providers:command::default"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
STATE: dict[str, Any] = {
    "version": 3,
    "deployment": {
        "manifest": {"time": "2026-11-20T13:10:00.5Z", "version": "v3.256.0"},
        "secrets_providers": {"type": "passphrase", "state": {"salt": "v1:salt"}},
        "resources": [
            {"urn": ROOT, "type": "pulumi:pulumi:Stack"},
            {"urn": PROVIDER, "type": "pulumi:providers:command", "id": "p-1"},
            {
                "urn": CHILD,
                "id": "c-1",
                "parent": ROOT,
                "provider": f"{PROVIDER}::p-1",
                "dependencies": [CHILD],
                "propertyDependencies": {"stdin": [CHILD], "host": None},
                "inputs": {"stdin": SECRET, "note": "see urn:pulumi:staging::slipway:: above", "port": 22},
            },
        ],
    },
}


def test_resources_are_given_to_a_stack_of_another_name_with_all_that_points_to_them() -> None:
    before = copy.deepcopy(STATE)
    state = renamed(STATE, Owner("staging", "slipway"), Owner("demo", "shop"))
    assert owner_of(state) == Owner("demo", "shop")
    root, provider, child = resources_of(state)
    assert root["urn"] == "urn:pulumi:demo::shop::pulumi:pulumi:Stack::shop-demo"
    assert child["parent"] == root["urn"]
    assert child["provider"] == provider["urn"] + "::p-1"
    assert child["dependencies"] == child["propertyDependencies"]["stdin"] == [child["urn"]]
    assert child["urn"] == CHILD.replace("staging::slipway", "demo::shop")  # its name is the program's
    assert child["inputs"] == STATE["deployment"]["resources"][2]["inputs"]
    assert before == STATE
    assert renamed(state, Owner("demo", "shop"), Owner("staging", "slipway")) == STATE


def test_two_states_are_the_same_whatever_their_ciphertexts() -> None:
    other = copy.deepcopy(STATE)
    other["deployment"]["resources"][2]["inputs"]["stdin"]["ciphertext"] = "v1:other"
    assert same(STATE, other)
    other["deployment"]["resources"][2]["inputs"]["port"] = 23
    assert not same(STATE, other)
    later = copy.deepcopy(STATE)
    later["deployment"]["manifest"]["time"] = "2026-11-20T13:10:00.6Z"  # a secret may have changed, which nobody sees
    assert not same(STATE, later)


def test_an_empty_state_is_nobodys() -> None:
    for state in ({"deployment": {}}, {"deployment": {"resources": None}}):
        assert owner_of(state) is None
        assert resources_of(state) == []


def test_a_stack_file_says_how_it_is_encrypted() -> None:
    kms = {"secretsprovider": "awskms://k", "encryptedkey": "abc"}
    assert encryption_in(b"secretsprovider: awskms://k\nencryptedkey: abc\n", "f") == kms
    assert encryption_in(b"secretsprovider: passphrase\nencryptionsalt: v1:s\n", "f") == {"encryptionsalt": "v1:s"}
    assert encryption_in(b"", "f") == {}
    for rubbish in (b"- a", b"a: b: c", b"\xff\xfe\xff"):
        with pytest.raises(SlipwayError, match="f is not a stack's file"):
            encryption_in(rubbish, "f")
