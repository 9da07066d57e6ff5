"""What becomes of the old project's database when its host boots, or somebody starts it, after a stack took over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_harness import document, eventually, pack, release, service

if TYPE_CHECKING:
    from pathlib import Path

    from workload import Images

    from dev.testhosts.server import TestHost

HOSTS = 1
STACK = "shop-prod"
COMPOSE = """\
services:
  db: {{image: "{image}", restart: always, volumes: ["data:/data"], init: true}}
  exporter: {{image: "{image}", restart: always, network_mode: "service:db", depends_on: [db], init: true,
    environment: {{LISTEN: "9187"}}}}
volumes: {{data: }}
"""
_NAMESPACE = "readlink /proc/$(docker inspect -f '{{.State.Pid}}' %s)/ns/net"


class Mover:
    """The packed agent, run by root on a host, and the project `old` there."""

    def __init__(self, host: TestHost, images: Images, folder: Path) -> None:
        self.host = host
        host.path("/root/agent.pyz").write_bytes(pack(folder / "agent.pyz").read_bytes())
        host.path("/root/compose.yaml").write_text(COMPOSE.format(image=images.one))
        data = [{"type": "volume", "source": "data", "target": "/data"}]
        check = {"test": ["CMD", "python3", "-IS", "/app.py", "probe"], "interval": "1s", "timeout": "5s", "retries": 4}
        own = {"init": True, "restart": "unless-stopped", "volumes": data, "healthcheck": check,
               "environment": {"VERSION": "1"}}  # fmt: skip
        self.wanted = release(
            STACK, {"db": service(images.one, **own)},
            volumes={"data": {"name": "old_data", "external": True, "x-adopted": True}},
        )  # fmt: skip

    def old(self, *words: str) -> None:
        self.shell(f"docker compose -p old -f /root/compose.yaml {' '.join(words)}")

    def shell(self, command: str) -> str:
        return self.host.inside(["sh", "-c", command], seconds=180).strip()

    def agent(self, *words: str, stdin: str = "") -> Any:
        answer = self.host.inside(["python3", "/root/agent.pyz", *words, "--stack", STACK], stdin=stdin, seconds=180)
        return json.loads(answer.splitlines()[-1])

    def move(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.host.inside(["python3", "/root/agent.pyz", "deploy"], seconds=180,
                             stdin=json.dumps(document(STACK, self.wanted, move_from=["old"]))).splitlines()[-1]
        )  # fmt: skip
        return found

    def users(self) -> list[str]:
        return sorted(self.shell("docker ps --filter volume=old_data --format '{{.Names}}'").split())


@pytest.fixture
def mover(host: TestHost, images: Images, tmp_path: Path) -> Mover:
    return Mover(host, images, tmp_path)


def test_one_database_works_on_the_volume_after_a_boot_and_a_second_is_named(mover: Mover) -> None:
    mover.old("up", "-d")
    mover.old("stop", "-t", "2")  # as a careful person does
    assert mover.move()["warnings"] == []
    mover.host.power_cut()
    mover.host.boot()
    eventually(lambda: mover.users() == [f"{STACK}-db-1"], 60)

    mover.shell("docker start old-db-1")
    said = "old-db-1 works on its data (old_data), too; to end that, on the host: docker stop old-db-1"
    assert [each["what"] for each in mover.agent("probe")["drift"]] == [said]
    assert mover.move()["warnings"] == [f"db: {said}"]
    mover.shell("docker stop -t 2 old-db-1")
    assert mover.agent("probe")["drift"] == []

    mover.agent("move", "--do", "undo")
    mover.old("up", "-d")
    mover.move()
    assert mover.agent("move", "--do", "undo")["state"] == "undone"
    assert mover.users() == ["old-db-1"]
    assert len({mover.shell(_NAMESPACE % f"old-{name}-1") for name in ("db", "exporter")}) == 1
