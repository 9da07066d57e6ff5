"""What a service publishes, as placement, strategies and hosts see it."""

import pytest

from slipway.contract.published_ports import held_ports, published_ports

SERVICE = {
    "ports": [
        {"target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"},
        {"target": 80, "published": "", "protocol": "tcp"},
        {"target": 80, "published": "9000-9010"},
        {"target": 80, "published": "0"},
        {"target": 53, "published": 53, "protocol": "udp"},
    ]
}


def test_ports_that_docker_chooses_are_none_and_the_others_know_their_place_in_the_file() -> None:
    found = list(published_ports(SERVICE))
    assert [(each.entry, str(each), each.protocol, each.address) for each in found] == [
        (0, "8080", "tcp", "127.0.0.1"),
        (2, "9000-9010", "tcp", ""),
        (4, "53", "udp", ""),
    ]


def test_a_range_is_as_wide_as_the_ports_in_it() -> None:
    assert [each.width for each in published_ports(SERVICE)] == [1, 11, 1]


def test_a_service_without_ports_publishes_none() -> None:
    assert list(published_ports({})) == list(published_ports({"ports": None})) == []


@pytest.mark.parametrize(
    ("mode", "held"),
    [("bridge", {80, 8443}), ("host", {443, 80})],
)
def test_a_container_in_the_hosts_network_holds_what_its_image_listens_on(mode: str, held: set[int]) -> None:
    published = {"80/tcp": [{"HostPort": "80"}, {"HostPort": "80"}], "443/tcp": [{"HostPort": "8443"}], "9/tcp": None}
    details = {
        "Config": {"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Ports": published if mode == "bridge" else {}},
    }
    assert held_ports(details) == held
