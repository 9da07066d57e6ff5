"""What the agent refuses before it touches anything: another contract, rubbish, what leads out of its folder."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from documents import document, release

from slipway.agent.release.document import parse
from slipway.contract.canonical import release_id
from slipway.contract.problems import DocumentError


def raw(**changes: Any) -> bytes:
    return json.dumps({**document(), **changes}).encode()


def refused(given: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        parse(given)
    assert caught.value.exit_code == 2
    assert "canary-value" not in str(caught.value) + repr(caught.value.__context__ or "")
    return str(caught.value)


def with_file(content: bytes, *, folder: bool = False, sha: str = "") -> dict[str, Any]:
    """A release that ships one file."""
    made = release()
    entry = {"mode": 420, "content": base64.b64encode(content).decode(), **({"folder": True} if folder else {})}
    made["files"] = {sha or hashlib.sha256(content).hexdigest(): entry}
    return {**made, "id": release_id(made)}


def listed(path: str, mode: int = 420) -> bytes:
    return json.dumps([{"path": path, "mode": mode, "content": ""}]).encode()


def test_good_document_is_accepted() -> None:
    assert parse(raw()).stack == "shop"
    for made in (with_file(b"x"), with_file(listed("a/b.conf"), folder=True)):
        assert parse(raw(release=made)).release.content == made


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_of_the_contract_is_refused_by_its_number(version: object) -> None:
    assert "does not know its contract, only version 1" in refused(raw(contract=version))


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"{}", b'{"contract": 1}', b'"x"'])
def test_what_is_no_document_is_a_clear_error(rubbish: bytes) -> None:
    assert "nothing was touched" in refused(rubbish)


@pytest.mark.parametrize("part", ["stack", "release", "secrets"])
@pytest.mark.parametrize("value", [None, 5, ["canary-value"], "../canary-value"])
def test_a_part_of_another_form_is_a_clear_error_without_its_value(part: str, value: object) -> None:
    refused(raw(**{part: value}))


HARMFUL: dict[str, dict[str, Any]] = {
    "content_of_another_id": {"release": {**release(), "commit": "f" * 40}},
    "circle": {"release": release(depends_on={"api": {"condition": "service_started"}})},
    "placeholder_without_secret": {"release": release(environment={"A": "${UNKNOWN}"})},
    "file_not_shipped": {"release": release(source="@files/" + "0" * 64 + "/x.conf")},
    "file_reference": {"release": release(source="@files/../../etc/passwd")},
    "data_outside": {"release": release(source="@data/../key")},
    "stack_outside": {"stack": "../other"},
    "stack_with_newline": {"stack": "shop\n"},
    "damaged_file": {"release": with_file(b"x", sha="0" * 64)},
    "folder_outside": {"release": with_file(listed("../x"), folder=True)},
    "folder_absolute": {"release": with_file(listed("/etc/x"), folder=True)},
    "folder_mode": {"release": with_file(listed("x", 0o4755), folder=True)},
    "folder_no_list": {"release": with_file(b"5", folder=True)},
}


@pytest.mark.parametrize("what", HARMFUL)
def test_what_could_harm_the_host_is_refused(what: str) -> None:
    refused(raw(**HARMFUL[what]))
