"""A certificate that a stack brings along is one that the edge can serve, or a problem before anything starts."""

from pathlib import Path

import pytest
from certified import certificate
from samples import CANARY, problems_of_loading, settings, whats

from slipway.settings.certificates import certificate_problems, covers, self_signed

PAIR = certificate("shop.example", "*.shop.example")


def said(folder: Path, pem: str, key: str) -> list[str]:
    found = list(certificate_problems(settings(folder, certificate=pem, certificate_key=key)))
    assert not any(line in str(found) for line in key.splitlines() if line)
    return whats(found)


def test_a_pair_that_belongs_together_is_good(tmp_path: Path) -> None:
    assert said(tmp_path, *PAIR) == []


def test_a_chain_is_judged_by_its_first_certificate(tmp_path: Path) -> None:
    other, _ = certificate("authority.example")
    assert said(tmp_path, PAIR[0] + other, PAIR[1]) == []
    assert said(tmp_path, other + PAIR[0], PAIR[1]) == ["certificate: it does not match certificateKey"]


def test_line_ends_that_a_ci_system_wrote_out_are_read(tmp_path: Path) -> None:
    pem, key = (text.replace("\n", "\\n") for text in PAIR)
    assert said(tmp_path, pem, key) == []


@pytest.mark.parametrize(
    ("pem", "key", "what"),
    [
        (PAIR[0], certificate("b.example")[1], "certificate: it does not match certificateKey"),
        (PAIR[0], "", "certificateKey: empty, though certificate is set"),
        ("", PAIR[1], "certificate: empty, though certificateKey is set"),
        (CANARY, PAIR[1], "certificate: this is not a certificate in PEM form"),
        (PAIR[1], PAIR[1], "certificate: this is not a certificate in PEM form"),
        (PAIR[0], CANARY, "certificateKey: this is not a private key in PEM form"),
        (PAIR[0], PAIR[0], "certificateKey: this is not a private key in PEM form"),
        (PAIR[0], certificate("c.example", locked=True)[1],
         "certificateKey: this private key is locked with a passphrase"),
    ],
)  # fmt: skip
def test_a_pair_that_cannot_serve_is_told_by_its_setting(tmp_path: Path, pem: str, key: str, what: str) -> None:
    assert said(tmp_path, pem, key) == [what]


def test_a_certificate_out_of_its_time_is_a_problem(tmp_path: Path) -> None:
    [expired] = said(tmp_path, *certificate("a.example", starts=-9, ends=-3))
    assert expired.startswith("certificate: it expired on 20")
    [early] = said(tmp_path, *certificate("a.example", starts=3, ends=9))
    assert early.startswith("certificate: it is not valid before 20")


def test_a_private_authority_is_a_certificate(tmp_path: Path) -> None:
    assert not list(certificate_problems(settings(tmp_path, acme_ca=PAIR[0])))
    [problem] = certificate_problems(settings(tmp_path, acme_ca="authority"))
    assert problem.what == "acmeCa: this is not a certificate in PEM form"


@pytest.mark.parametrize(
    ("host", "covered"),
    [("shop.example", True), ("www.shop.example", True), ("a.b.shop.example", False), ("other.example", False)],
)
def test_a_wildcard_stands_for_one_label(host: str, covered: bool) -> None:  # noqa: FBT001
    assert covers(PAIR[0], host) is covered


def test_it_is_told_with_the_other_problems_of_the_settings(tmp_path: Path) -> None:
    found = problems_of_loading(tmp_path, {"certificate": PAIR[0], "retentoin": "3"})
    assert len(whats(found)) == 2


def test_certificate_for_a_host_that_has_none_can_be_served(tmp_path: Path) -> None:
    pem, key = self_signed("nobody.test")
    assert said(tmp_path, pem, key) == []
    assert covers(pem, "nobody.test")
