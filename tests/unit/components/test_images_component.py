"""RegistryImages: what is built, looked up and tagged, and what of it is secret."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
from recorded import Recorded, is_secret, open_strings, plain, program
from samples import CANARY, DIGEST, settings

from components.images import RegistryImages, RegistryImagesArgs
from slipway.compose.application import Application
from slipway.compose.builds import Build
from slipway.compose.git import Revision
from slipway.contract.problems import SlipwayError
from slipway.settings.registry_names import registry_of

IMAGE = "docker-build:index:Image"
COMMAND = "command:local:Command"
PROVIDER = "pulumi:providers:docker"
REVISION = Revision("0123456789abcdef0123456789abcdef01234567", "feature/x")
LIVE = f"postgres:17@sha256:{'a' * 64}"


def build(service: str, **values: Any) -> Build:
    return Build(repository=f"ghcr.io/acme/shop-{service}", context=values.pop("context", "/nowhere/app"), **values)


def images(
    folder: Path,
    *,
    builds: dict[str, Build] | None = None,
    images: dict[str, str] | None = None,
    live: dict[str, str] | None = None,
    revision: Revision = REVISION,
    engine: Recorded | None = None,
    entries: dict[str, Any] | None = None,
    preview: bool = False,
    **values: Any,
) -> tuple[Recorded, dict[str, str]]:
    """What the engine saw, and the images that came of it."""
    engine = engine or Recorded()
    application = Application(
        name="shop", stack="shop-test", builds=builds or {}, images=images or {}, document={"services": {}}, files={},
        secrets=(), entries=entries or {},
    )  # fmt: skip
    args = RegistryImagesArgs(
        settings=settings(folder, **values), application=application, revision=revision, live=live or {}
    )
    found = program(engine, lambda: pulumi.Output.all(**RegistryImages("shop", args).images), preview=preview)
    return engine, found


CREDENTIALS = {"registry_username": "me", "registry_password": CANARY}


def test_same_builds_are_one_image(tmp_path: Path) -> None:
    engine, found = images(
        tmp_path,
        builds={
            "worker": build("worker", target="w"),
            "clock": build("clock", target="w"),
            "api": build("api", target="a"),
        },
    )
    assert set(engine.of(IMAGE)) == {"shop-api", "shop-clock"}
    assert found == {
        "api": f"ghcr.io/acme/shop-api:test@{DIGEST}",
        "clock": f"ghcr.io/acme/shop-clock:test@{DIGEST}",
        "worker": f"ghcr.io/acme/shop-clock:test@{DIGEST}",
    }


def at(owner: str, digest: str = DIGEST, registry: str = "ghcr.io/acme") -> str:
    return f"{registry}/shop-{owner}:test@{digest}"


OTHER = f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("live", "builds", "resources", "store"),
    [
        # a service that is new on the build, whatever its name, takes over nobody's image
        ({"store": at("store")}, ("once", "store"), {"shop-store"}, at("store")),
        ({"store": at("store")}, ("store", "zebra"), {"shop-store"}, at("store")),
        ({"store": at("once"), "once": at("once")}, ("once", "store"), {"shop-once"}, at("once")),
        ({}, ("once", "store"), {"shop-once"}, at("once")),
        # the service whose name the image had is gone: what is the same keeps the name that it runs under
        ({"store": at("once"), "once": at("once")}, ("store",), {"shop-store"}, at("once")),
        ({"store": at("once", OTHER), "once": at("once", OTHER)}, ("store",), {"shop-store"}, at("store")),
        ({"store": at("once", registry="ghcr.io/old")}, ("store",), {"shop-store"}, at("store")),
    ],
)
def test_an_image_that_is_the_same_keeps_its_name(
    tmp_path: Path, live: dict[str, str], builds: tuple[str, ...], resources: set[str], store: str
) -> None:
    engine, found = images(tmp_path, builds={name: build(name) for name in builds}, live=live)
    assert set(engine.of(IMAGE)) == resources
    assert found["store"] == store


def test_a_service_keeps_its_image_s_name_when_the_one_that_it_shared_it_with_changes(tmp_path: Path) -> None:
    _, found = images(
        tmp_path,
        builds={"api": build("api", target="new"), "worker": build("worker")},
        live={"api": at("api"), "worker": at("api")},
    )
    assert found["worker"] == at("api")


@pytest.mark.parametrize("values", [{"args": {"A": "1"}}, {"platforms": ("linux/arm64",)}, {"context": "/other"}])
def test_builds_that_differ_in_anything_are_two_images(tmp_path: Path, values: dict[str, Any]) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a"), "b": build("b", **values)})
    assert len(engine.of(IMAGE)) == 2


def test_a_new_commit_alone_changes_nothing_of_an_image(tmp_path: Path) -> None:
    first, _ = images(tmp_path, builds={"a": build("a")})
    second, _ = images(tmp_path, builds={"a": build("a")}, revision=Revision("f" * 40, "other"))
    assert first.of(IMAGE) == second.of(IMAGE)
    assert first.of(IMAGE)["shop-a"]["tags"] == ["ghcr.io/acme/shop-a:test"]


def test_everything_of_a_build_reaches_the_builder(tmp_path: Path) -> None:
    engine, _ = images(
        tmp_path,
        builds={
            "a": build(
                "a", dockerfile="docker/Dockerfile", target="t", args={"A": "1"}, ssh=("default",), network="host",
                platforms=("linux/amd64", "linux/arm64"), extra_hosts=("x=1.2.3.4",), no_cache=True, pull=True,
                additional_contexts={"base": "docker-image://alpine"},
            )
        },
    )  # fmt: skip
    [inputs] = engine.of(IMAGE).values()
    assert inputs["push"] is True
    assert inputs["buildOnPreview"] is False
    assert inputs["target"] == "t"
    assert inputs["buildArgs"] == {"A": "1"}
    assert inputs["platforms"] == ["linux/amd64", "linux/arm64"]
    assert inputs["addHosts"] == ["x=1.2.3.4"]
    assert inputs["network"] == "host"
    assert (inputs["noCache"], inputs["pull"]) == (True, True)
    assert inputs["ssh"] == [{"id": "default"}]
    assert inputs["context"]["named"] == {"base": {"location": "docker-image://alpine"}}
    assert inputs["dockerfile"]["location"].endswith("app/docker/Dockerfile")


def test_a_build_upon_another_one_gets_that_image_by_digest(tmp_path: Path) -> None:
    base, deep = build("base", target="b"), build("deep", target="d")
    other = replace(build("other", target="b"), bases={"deep": deep})
    builds = {
        "base": base,
        "web": build("web", bases={"base": replace(base, repository="ghcr.io/acme/shop-twin")}, labels={"a": "b"}),
        "api": build("api", bases={"x": other}, additional_contexts={"more": "docker-image://alpine"}),
    }
    engine, found = images(tmp_path, builds=builds)
    made = engine.of(IMAGE)
    assert set(made) == {"shop-base", "shop-web", "shop-api", "shop-other", "shop-deep"}
    named = {name: made[name]["context"].get("named") for name in made}
    assert named["shop-web"] == {"base": {"location": f"docker-image://ghcr.io/acme/shop-base:test@{DIGEST}"}}
    assert named["shop-api"] == {
        "more": {"location": "docker-image://alpine"},
        "x": {"location": f"docker-image://ghcr.io/acme/shop-other:test@{DIGEST}"},
    }
    assert made["shop-web"]["labels"] == {"a": "b"}
    assert set(found) == {"base", "web", "api"}


def test_in_a_preview_the_image_that_a_build_is_upon_may_not_be_known(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"web": build("web", bases={"base": build("base")})}, preview=True)
    assert set(engine.of(IMAGE)) == {"shop-web", "shop-base"}


def test_what_the_plugin_does_not_see_of_a_context_is_an_input_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    engine, _ = images(tmp_path, builds={"web": build("web", context=str(tmp_path), args={"A": "1"})})
    arguments = engine.of(IMAGE)["shop-web"]["buildArgs"]
    assert arguments == {"A": "1", "SLIPWAY_CONTEXT": arguments["SLIPWAY_CONTEXT"]}
    assert len(arguments["SLIPWAY_CONTEXT"]) == 64


def test_an_inline_dockerfile_is_handed_over_as_it_is(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a", dockerfile_inline="FROM scratch\nENV A=$B\n")})
    [inputs] = engine.of(IMAGE).values()
    assert inputs["dockerfile"] == {"inline": "FROM scratch\nENV A=$B\n"}


def test_the_state_names_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine, _ = images(tmp_path, builds={"a": build("a", context=str(tmp_path / "app"), dockerfile="Dockerfile")})
    [inputs] = engine.of(IMAGE).values()
    assert inputs["context"]["location"] == "app"
    assert inputs["dockerfile"]["location"] == "app/Dockerfile"
    assert not any(str(tmp_path) in text for text in open_strings(inputs))


# --- secrets


def test_credentials_and_build_secrets_are_secret_inputs(tmp_path: Path) -> None:
    engine, _ = images(
        tmp_path,
        builds={"a": build("a", secrets={"npm": "NPM_TOKEN"})},
        secrets={"NPM_TOKEN": CANARY},
        **CREDENTIALS,
    )
    [inputs] = engine.of(IMAGE).values()
    assert is_secret(inputs["registries"])
    assert plain(inputs["registries"]) == [{"address": "ghcr.io", "username": "me", "password": CANARY}]
    assert is_secret(inputs["secrets"])
    assert plain(inputs["secrets"]) == {"npm": CANARY}
    for resource in engine.resources.values():
        assert not any(CANARY in text for text in open_strings(resource))


def test_without_credentials_none_are_sent(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a")})
    [inputs] = engine.of(IMAGE).values()
    assert "registries" not in inputs
    assert "secrets" not in inputs


# --- tags


def test_commit_and_branch_are_put_beside_every_image_by_one_command(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a"), "b": build("b", target="x")}, **CREDENTIALS)
    [(name, inputs)] = engine.of(COMMAND).items()
    assert name == "shop-tags"
    assert inputs["environment"]["SLIPWAY_TAGS"].split() == [
        f"ghcr.io/acme/shop-{service}:{tag}=ghcr.io/acme/shop-{service}@{DIGEST}"
        for service in ("a", "b")
        for tag in (REVISION.commit, "feature-x")
    ]
    assert inputs["create"] == inputs["update"]
    assert is_secret(inputs["stdin"])
    assert json.loads(plain(inputs["stdin"])) == {"username": "me", "password": CANARY}
    assert plain(inputs["stdin"]).endswith("}\n")
    assert inputs["addPreviousOutputInEnv"] is False
    assert "triggers" not in inputs
    assert not any(CANARY in text for text in open_strings(inputs))


def test_the_branch_of_a_restricted_stack_is_no_tag(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a")}, revision=Revision("abc", "production"), restricted=True)
    [inputs] = engine.of(COMMAND).values()
    assert inputs["environment"]["SLIPWAY_TAGS"] == f"ghcr.io/acme/shop-a:abc=ghcr.io/acme/shop-a@{DIGEST}"


def test_a_registrys_port_is_no_tag(tmp_path: Path) -> None:
    engine, _ = images(
        tmp_path,
        builds={"a": Build(repository="127.0.0.1:5050/shop-a", context=".")},
        revision=Revision("abc", ""),
        registry="127.0.0.1:5050",
    )
    [inputs] = engine.of(COMMAND).values()
    assert inputs["environment"]["SLIPWAY_TAGS"] == f"127.0.0.1:5050/shop-a:abc=127.0.0.1:5050/shop-a@{DIGEST}"


def test_outside_of_git_there_is_nothing_to_tag(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a")}, revision=Revision("", ""))
    assert engine.of(COMMAND) == {}
    engine, _ = images(tmp_path, images={"db": LIVE})
    assert engine.of(COMMAND) == {}


# --- the edge's image

ROUTED = {"web": {"routes": [{"host": "", "path": "/", "strip": False}]}}
EDGE = f"traefik:v3.7.13@sha256:{'b' * 64}"


def edge_of(folder: Path, live: str = "", *, preview: bool = False, **values: Any) -> tuple[Recorded, str]:
    """What the engine saw, and the image of the edge."""
    engine = Recorded()
    found: list[str] = []
    application = Application(
        name="shop", stack="shop-test", builds={}, images={}, document={"services": {}}, files={}, secrets=(),
        entries=values.pop("entries", ROUTED),
    )  # fmt: skip
    args = RegistryImagesArgs(
        settings=settings(folder, **values), application=application, revision=REVISION, live={}, live_edge=live
    )

    def build() -> Any:
        made = RegistryImages("shop", args)
        found.append(made.edge)
        return pulumi.Output.all(**made.images)

    program(engine, build, preview=preview)
    return engine, found[0]


def test_the_edges_digest_is_known_at_preview(tmp_path: Path) -> None:
    engine, found = edge_of(tmp_path, preview=True, mirror="mirror.example")
    assert found == f"mirror.example/library/traefik:v3.7.13@{DIGEST}"
    assert engine.looked_up == [("mirror.example/library/traefik:v3.7.13", None)]


def test_the_edges_digest_is_frozen_while_the_setting_names_the_same_image(tmp_path: Path) -> None:
    engine, found = edge_of(tmp_path, EDGE)
    assert (found, engine.looked_up) == (EDGE, [])
    engine, found = edge_of(tmp_path, EDGE, edge_image="traefik:v3.6.1")
    assert (found, engine.looked_up) == (f"traefik:v3.6.1@{DIGEST}", [("traefik:v3.6.1", None)])


def test_without_a_route_nobody_asks_for_an_edge(tmp_path: Path) -> None:
    engine, found = edge_of(tmp_path, entries={"web": {"routes": []}})
    assert (found, engine.looked_up) == ("", [])


def test_an_edge_image_of_the_stacks_own_registry_is_read_with_its_credentials(tmp_path: Path) -> None:
    engine, _ = edge_of(tmp_path, edge_image="ghcr.io/acme/traefik:3.6.0", **CREDENTIALS)
    [(name, provider)] = engine.looked_up
    assert name == "ghcr.io/acme/traefik:3.6.0"
    assert provider


def test_an_edge_image_that_does_not_exist_is_told_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError) as raised:
        images(tmp_path, entries=ROUTED, engine=Recorded(digests={}))
    assert raised.value.problems[0].what == "edgeImage: traefik:v3.7.13 does not exist in its registry"


# --- third-party images


def test_a_third_party_digest_is_frozen_while_the_file_names_the_same_image(tmp_path: Path) -> None:
    engine, found = images(tmp_path, images={"db": "postgres:17"}, live={"db": LIVE})
    assert found == {"db": LIVE}
    assert engine.looked_up == []


@pytest.mark.parametrize(
    ("image", "live", "asked"),
    [
        ("postgres:17", "", "postgres:17"),
        ("postgres:18", LIVE, "postgres:18"),
        ("postgres", LIVE, "postgres:latest"),
        ("registry.example:5000/db", "", "registry.example:5000/db:latest"),
        ("other:17", LIVE, "other:17"),
    ],
)
def test_a_new_third_party_image_is_looked_up_once(tmp_path: Path, image: str, live: str, asked: str) -> None:
    engine, found = images(tmp_path, images={"db": image}, live={"db": live} if live else {})
    assert engine.looked_up == [(asked, None)]
    assert found == {"db": f"{asked}@{DIGEST}"}


def test_a_moved_tag_of_another_service_freezes_nothing(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, images={"db": "postgres:17"}, live={"other": LIVE})
    assert engine.looked_up == [("postgres:17", None)]


@pytest.mark.parametrize("image", [f"postgres@{DIGEST}", f"postgres:17@{DIGEST}"])
def test_an_image_by_digest_is_taken_as_it_is(tmp_path: Path, image: str) -> None:
    engine, found = images(tmp_path, images={"db": image})
    assert found == {"db": image}
    assert engine.looked_up == []


def of_the_plugin(reason: str) -> str:
    """A reason as engine and plugin hand it on."""
    return (
        "invocation of docker:index/getRegistryImage:getRegistryImage returned an error: "
        "invoking docker:index/getRegistryImage:getRegistryImage: 1 error occurred:\n\t* Got error when attempting to "
        f"fetch image version library/postgres:404 from registry: {reason}\n\n"
    )


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("got bad response from registry: 404 Not Found", "{} does not exist in its registry"),
        ("bad credentials: 401 Unauthorized", "{} does not exist in its registry, or it wants a login"),
        ("got bad response from registry: 403 Forbidden", "{} does not exist in its registry, or it wants a login"),
        (
            'Error during registry request: Head "http://127.0.0.1:4041/v2/": dial tcp 127.0.0.1:4041: refused',
            'the registry of {} does not answer (Error during registry request: Head "http://127.0.0.1:4041/v2/": ',
        ),
        (
            "got bad response from registry: 429 Too Many Requests",
            "the registry of {} refuses more requests for now (rate limit)",
        ),
        (
            "toomanyrequests: You have reached your pull rate limit",
            "the registry of {} refuses more requests for now (rate limit)",
        ),
        ("got bad response from registry: 503 Not found", "the registry of {} does not answer (got bad response"),
        (f"Error {'x' * 300}", f"the registry of {{}} does not answer (Error {'x' * 291}"),
    ],
)
def test_an_image_that_cannot_be_looked_up_is_told_before_anything_changes(
    tmp_path: Path, refusal: str, said: str
) -> None:
    with pytest.raises(SlipwayError) as raised:
        images(tmp_path, images={"db": "postgres:404"}, engine=Recorded(digests={}, refusal=of_the_plugin(refusal)))
    [problem] = raised.value.problems
    assert problem.what.startswith(f"services.db.image: {said.format('postgres:404')}")


@pytest.mark.parametrize(
    ("login", "reason", "said", "fix"),
    [
        (CREDENTIALS, "bad credentials: 401 Unauthorized", "refuses the credentials", "registryPassword"),
        (CREDENTIALS, "got bad response from registry: 403 Forbidden", "refuses the credentials", "registryPassword"),
        ({}, "got bad response from registry: 401 Unauthorized", "refuses the credentials", "registryUsername"),
        ({}, "failed to connect to any docker daemon", "without a Docker engine on this machine", "docker info"),
    ],
)
def test_what_a_refusal_of_the_stacks_own_registry_means(
    tmp_path: Path, login: dict[str, Any], reason: str, said: str, fix: str
) -> None:
    engine = Recorded(digests={}, refusal=of_the_plugin(reason))
    with pytest.raises(SlipwayError) as raised:
        images(tmp_path, images={"own": "ghcr.io/acme/x:1"}, engine=engine, **login)
    [problem] = raised.value.problems
    assert said in problem.what
    assert fix in problem.fix


# --- pinned


def test_a_pinned_release_is_looked_up_and_not_built(tmp_path: Path) -> None:
    engine, found = images(tmp_path, builds={"a": build("a")}, pin="v1", **CREDENTIALS)
    assert engine.of(IMAGE) == {}
    assert [name for name, _ in engine.looked_up] == ["ghcr.io/acme/shop-a:v1"]
    assert found == {"a": f"ghcr.io/acme/shop-a:v1@{DIGEST}"}


def test_a_pinned_release_of_services_that_share_a_build_is_where_it_was_pushed(tmp_path: Path) -> None:
    builds = {"clock": build("clock", target="w"), "worker": build("worker", target="w")}
    built, _ = images(tmp_path, builds=builds)
    pushed = {inputs["tags"][0].rsplit(":", 1)[0] for inputs in built.of(IMAGE).values()}
    pinned, _ = images(tmp_path, builds=builds, pin="v1")
    assert {name.rsplit(":", 1)[0] for name, _ in pinned.looked_up} == pushed


def test_the_stacks_own_registry_is_read_with_its_credentials_and_others_without(tmp_path: Path) -> None:
    engine, _ = images(tmp_path, images={"own": "ghcr.io/other/x:1", "hub": "postgres:17"}, **CREDENTIALS)
    asked = dict(engine.looked_up)
    assert asked["ghcr.io/other/x:1"]
    assert asked["postgres:17"] is None
    [(_, provider)] = engine.of("pulumi:providers:docker").items()
    assert not any(CANARY in text for text in open_strings(provider))


def test_the_registrys_reader_is_there_whatever_is_live(tmp_path: Path) -> None:
    """A provider that comes and goes would be a change every time."""
    live = {"own": f"ghcr.io/other/x:1@{DIGEST}"}
    for known in ({}, live):
        engine, _ = images(tmp_path, images={"own": "ghcr.io/other/x:1"}, live=known, **CREDENTIALS)
        assert len(engine.of("pulumi:providers:docker")) == 1


def entries_of(provider: dict[str, Any]) -> list[dict[str, Any]]:
    """What a provider knows of registries, in the clear."""
    return json.loads(plain(provider["registryAuth"]))


LOGIN = {"username": "me", "password": CANARY}
OPEN = {"authDisabled": True}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"images": {"a": "postgres:17", "b": "ghcr.io/a/b:1"}}, {}),
        ({"images": {"a": "localhost:5000/a:1"}}, {"http://localhost:5000": OPEN}),
        ({"entries": ROUTED, "mirror": "127.0.0.1:5000"}, {"http://127.0.0.1:5000": OPEN}),
        ({"pin": "v1", "registry": "127.0.0.1:5050/acme"}, {"http://127.0.0.1:5050": OPEN}),
        ({"pin": "v1", "registry": "127.0.0.1:5050/acme", **CREDENTIALS}, {"http://127.0.0.1:5050": LOGIN}),
        ({"pin": "v1", "registry": "docker.io/acme", **CREDENTIALS}, {"registry-1.docker.io": LOGIN}),
        ({"images": {"a": "acme/a:1"}, "registry": "docker.io/acme", **CREDENTIALS}, {"registry-1.docker.io": LOGIN}),
        ({"pin": "v1", **CREDENTIALS}, {"ghcr.io": LOGIN}),
        (
            {"images": {"a": "localhost:1/a:1", "b": "127.0.0.1:2/b:1", "c": "ghcr.io/c:1"}, **CREDENTIALS},
            {"http://127.0.0.1:2": OPEN, "ghcr.io": LOGIN, "http://localhost:1": OPEN},
        ),
    ],
)
def test_a_registry_is_read_as_it_wants_it_whatever_is_live(
    tmp_path: Path, given: dict[str, Any], read: dict[str, Any]
) -> None:
    """The plugin speaks HTTPS to every registry whose address it was not given with http://."""
    shown = {"images": given.get("images"), "entries": given.get("entries")}
    builds = (
        {"web": Build(repository=f"{given.get('registry', 'ghcr.io/acme')}/web", context=".")} if "pin" in given else {}
    )
    values = {name: value for name, value in given.items() if name not in shown}
    for live in ({}, {name: f"{image}@{DIGEST}" for name, image in given.get("images", {}).items()}):
        engine, _ = images(tmp_path, builds=builds, live=live, **shown, **values)
        entries = [entry for made in engine.of(PROVIDER).values() for entry in entries_of(made)]
        assert {entry.pop("address"): entry for entry in entries} == read
        hosts = [address.removeprefix("http://") for address in read]
        for name, provider in engine.looked_up:
            host = registry_of(name).replace("docker.io", "registry-1.docker.io")
            assert bool(provider) == (host in hosts), name


# --- cache and preview


@pytest.mark.parametrize("cache", ["none", "inline", "registry", "github"])
def test_a_refused_cache_export_never_fails_a_build(tmp_path: Path, cache: str) -> None:
    engine, _ = images(tmp_path, builds={"a": build("a")}, cache=cache)
    [inputs] = engine.of(IMAGE).values()
    exports = [each["raw"] for each in inputs.get("cacheTo", [])]
    assert all("ignore-error=true" in export for export in exports if export != "type=inline")
    assert bool(exports) == (cache != "none")


def test_a_preview_knows_no_digest_of_what_will_be_built(tmp_path: Path) -> None:
    class Previewed(Recorded):
        def new_resource(self, args: Any) -> tuple[str | None, dict[str, Any]]:
            identity, outputs = super().new_resource(args)
            if "ref" in outputs:
                outputs["ref"] = outputs["ref"].split("@")[0]
            return identity, outputs

    _, found = images(tmp_path, builds={"a": build("a")}, engine=Previewed(), preview=True)
    assert found is None
