"""Containers that are recreated together start in an order in which each gets its address back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from slipway.agent.docker.addresses import Former, former_addresses, starting_order

if TYPE_CHECKING:
    from slipway.agent.docker.docker_api import DockerApi

FIXED = {"IPv4Address": "10.0.0.9"}
ORDERS = [
    # who has an address meanwhile, who had which before the stop, who starts in which order
    ("one", "", {"a": "2"}, "a"),
    ("the lowest first", "", {"b": "3", "a": "2", "c": "4"}, "a b c"),
    ("others keep theirs", "2 4", {"b": "5", "a": "3"}, "a b"),
    ("a lower one is free: the highest goes there", "", {"a": "3", "b": "4", "c": "5"}, "c a b"),
    ("a hole in the middle", "", {"a": "2", "b": "4", "c": "5"}, "a c b"),
    ("two holes", "", {"a": "4", "b": "5", "c": "6"}, "c b a"),
    ("a fixed address comes first", "", {"a": "2", "b": "!3", "c": "4"}, "b a c"),
    ("a fixed one far away leaves the lowest free", "", {"a": "2", "b": "!200", "c": "3"}, "b a c"),
    ("as many fixed ones as others", "", {"a": "!2", "b": "!3", "c": "4", "d": "5"}, "a b c d"),
    ("none", "", {}, ""),
]


class Networks:
    """An engine of which only its containers' addresses are asked for."""

    def __init__(self, used: str, endpoints: dict[str, dict[str, Any]] | None = None) -> None:
        self.used = used.split()
        self.endpoints = endpoints

    def network(self, _name: str) -> dict[str, Any]:
        used = {each: {"IPv4Address": f"10.0.0.{each}/24"} for each in self.used}
        return {"IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": "10.0.0.0/24"}]}, "Containers": used}

    def container(self, _identifier: str) -> dict[str, Any]:
        return {"NetworkSettings": {"Networks": self.endpoints}}


@pytest.mark.parametrize(("used", "had", "order"), [each[1:] for each in ORDERS], ids=[each[0] for each in ORDERS])
def test_each_gets_its_address_back_in_this_order(used: str, had: dict[str, str], order: str) -> None:
    former = {name: {"default": Former(f"10.0.0.{each.lstrip('!')}", fixed="!" in each)} for name, each in had.items()}
    assert starting_order(cast("DockerApi", Networks(used)), former, former) == order.split()


def test_of_two_networks_both_must_fit() -> None:
    had = {"a": {"x": "2", "y": "3"}, "b": {"x": "3", "y": "4"}, "c": {"y": "2"}}
    former = {name: {at: Former(f"10.0.0.{each}") for at, each in own.items()} for name, own in had.items()}
    assert starting_order(cast("DockerApi", Networks("")), ["z", *former], former) == ["c", "a", "b", "z"]


@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        ({"default": {"IPAddress": "10.0.0.2"}}, {"default": Former("10.0.0.2")}),
        ({"default": {"IPAddress": "10.0.0.9", "IPAMConfig": FIXED}}, {"default": Former("10.0.0.9", fixed=True)}),
        ({"default": {"IPAddress": ""}, "none": None}, {}),
        ({"slipway-edge": {"IPAddress": "10.9.0.7", "IPAMConfig": FIXED}}, {}),
        (None, {}),
    ],
    ids=["given", "fixed", "stopped", "the edge's", "no network"],
)
def test_what_counts_as_an_address_to_get_back(endpoints: Any, found: dict[str, Former]) -> None:
    assert former_addresses(cast("DockerApi", Networks("", endpoints)), "web") == found
