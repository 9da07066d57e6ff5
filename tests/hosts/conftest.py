"""What tests on real hosts share: one session of test hosts, the images that they run, stacks on them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from remote_stack import Pool, RemoteStack, wipe
from workload import pushed_images

from dev.testhosts.hosts import TestHosts, unavailable
from dev.toolchain.docker import ensure_docker
from dev.toolchain.registry import ensure_registry
from dev.toolchain.stand_ins.images import ensure_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack_harness import Engine
    from workload import Images

    from dev.testhosts.server import TestHost


@pytest.fixture(scope="session")
def registry() -> str:
    """This machine's registry (host:port); it holds the third-party images that hosts pull."""
    os.environ.update(ensure_docker())
    address = ensure_registry()
    ensure_images(address)
    return address


@pytest.fixture(scope="session")
def test_hosts(registry: str) -> Iterator[TestHosts]:
    """Makes hosts: `test_hosts.create()`. All of them, and every trace, are gone after the session."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    with TestHosts(registry_port=int(registry.rpartition(":")[2])) as hosts:
        yield hosts


@pytest.fixture(scope="session")
def images(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of the server that hosts run."""
    return pushed_images(registry, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def pool(test_hosts: TestHosts, images: Images) -> Pool:
    """Hosts that stay up from module to module; each module finds them wiped."""
    return Pool(test_hosts, images)


@pytest.fixture(scope="module")
def hosts(request: pytest.FixtureRequest, pool: Pool) -> Iterator[list[TestHost]]:
    """As many hosts as the module's HOSTS says."""
    taken = pool.take(request.module.HOSTS)
    yield taken
    for host in taken:
        wipe(host)


@pytest.fixture(scope="module")
def host(hosts: list[TestHost]) -> TestHost:
    """The first of the module's hosts."""
    return hosts[0]


@pytest.fixture(scope="module")
def deployable(
    engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RemoteStack]]:
    """Makes stacks: `deployable(*hosts, **settings)`."""
    made: list[RemoteStack] = []

    def make(*machines: TestHost, **settings: object) -> RemoteStack:
        made.append(RemoteStack(engine, tmp_path_factory.mktemp("stack"), machines, images, **settings))
        return made[-1]

    yield make
    for stack in made:
        stack.remove()
