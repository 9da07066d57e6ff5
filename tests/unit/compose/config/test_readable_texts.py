"""What production lets pass: lines as public Compose files have them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.compose.config.readable_texts import readable_literals, secret_texts
from slipway.settings.secrets.rules import named_like_a_secret

HARMLESS: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "harmless.yaml").read_text())
TYPED = "Zk39dLq0PwX1vB"


def found(place: str, line: str) -> list[Any]:
    """What the judge finds in a model, as Compose gives it, that has the line."""
    line = line.replace("$", "$$")
    name, _, value = line.partition("=")
    parts = {"healthcheck": {"test": ["CMD-SHELL", line]}, "command": line.split(" ")}
    part = {place: parts.get(place, {name: value})} if place != "content" else {"configs": [{"source": "c"}]}
    model = {"services": {"web": part}, "configs": {"c": {"content": line}} if place == "content" else {}}
    return [*secret_texts(model, lambda _: ()), *readable_literals(model["services"])]


@pytest.mark.parametrize(("place", "line"), [(place, line) for place, lines in HARMLESS.items() for line in lines])
def test_a_harmless_line_of_a_public_compose_file_stops_no_production(place: str, line: str) -> None:
    assert not found(place, line)


@pytest.mark.parametrize("place", HARMLESS)
def test_a_secret_beside_such_lines_is_found(place: str) -> None:
    assert found(place, f"DB_PASSWORD={TYPED}")


SCHEMA = """
    image build context dockerfile args ssh secrets tags cache_from additional_contexts labels annotations blkio_config
    cap_add cgroup command configs source target content credential_spec registry depends_on condition deploy resources
    reservations devices device_cgroup_rules dns dns_opt entrypoint env_file environment expose extends external_links
    extra_hosts gpus options group_add healthcheck test hostname isolation links logging driver driver_opts mac_address
    models network_mode networks aliases ipam post_start pre_stop privileged provider pull_policy security_opt sysctls
    storage_opt stop_signal tmpfs ulimits user userns_mode volumes volumes_from working_dir name file external
    template_driver endpoint_mode key_file
"""


@pytest.mark.parametrize("word", SCHEMA.split())
def test_every_key_may_be_the_name_of_its_text_as_none_of_composes_own_says_secret_of_an_ordinary_text(
    word: str,
) -> None:
    assert not named_like_a_secret(word) or word in ("secrets", "credential_spec")  # which have keys below them
