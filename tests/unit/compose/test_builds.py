"""`build:` sections: what is understood, and where images are pushed."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import application, problems_of, settings, whats

from slipway.compose.application import Application
from slipway.compose.builds import Build, BuildReader
from slipway.contract.problems import SlipwayError
from slipway.images.image_sources import build_owners
from slipway.x_slipway.findings import Findings


def _reader(folder: Path, **given: Any) -> BuildReader:
    secrets = {"token": "NPM_TOKEN"}
    return BuildReader(settings(folder, **given), folder, "shop", secrets, Findings(), services={}, dormant={})


def builds(folder: Path, *, images: dict[str, str] | None = None, **sections: Any) -> dict[str, Build]:
    reader = _reader(folder)
    for service, section in sections.items():
        reader.read(service, {"context": ".", **section}, image=(images or {}).get(service), platform=None)
    assert reader.found.problems == []
    return reader.finish()


def read(folder: Path, platform: str | None = None, **section: Any) -> BuildReader:
    reader = _reader(folder)
    reader.read("web", {"context": ".", **section}, image=None, platform=platform)
    return reader


def of_file(folder: Path, **services: Any) -> Application:
    (folder / "app").mkdir()
    (folder / "app" / "Dockerfile").write_text("FROM scratch\n")
    return application(folder, json.dumps({"services": services}))


# --- repositories


def test_a_name_under_which_nothing_can_be_pushed_is_refused(tmp_path: Path) -> None:
    for image, fix in (("ghcr.io/acme/Web:1", "write ghcr.io/acme/web"), ("ghcr.io/acme//web", "correct services.web")):
        reader = _reader(tmp_path)
        reader.read("web", {"context": "."}, image=image, platform=None)
        [problem] = reader.found.problems
        assert problem.what == f"services.web.image: '{image}' is not the name of an image"
        assert problem.fix.startswith(fix)


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        (None, "ghcr.io/acme/shop-web"),
        ("web", "ghcr.io/acme/shop-web"),
        ("ghcr.io/other/web", "ghcr.io/acme/shop-web"),
        ("ghcr.io/acmeother/web", "ghcr.io/acme/shop-web"),
        ("ghcr.io/acme/web", "ghcr.io/acme/web"),
        ("ghcr.io/acme/deep/web:1.2", "ghcr.io/acme/deep/web"),
        ("ghcr.io/acme/web:1@sha256:abc", "ghcr.io/acme/web"),
        ("ghcr.io/acme", "ghcr.io/acme/shop-web"),
    ],
)
def test_an_image_is_pushed_below_the_registry(tmp_path: Path, image: str | None, repository: str) -> None:
    images = {"web": image} if image else {}
    assert builds(tmp_path, images=images, web={})["web"].repository == repository


def test_a_tag_is_told_from_a_registrys_port(tmp_path: Path) -> None:
    reader = _reader(tmp_path, registry="127.0.0.1:5050")
    reader.read("web", {"context": "."}, image="127.0.0.1:5050/web:1", platform=None)
    assert reader.finish()["web"].repository == "127.0.0.1:5050/web"


@pytest.mark.parametrize("service", ["Web", "my_web", "my.web", "web-", "a__b"])
def test_a_repository_has_only_characters_that_registries_take(tmp_path: Path, service: str) -> None:
    name = builds(tmp_path, **{service: {}})[service].repository.rsplit("/", 1)[-1]
    assert name == name.lower()
    assert name.replace("-", "").isalnum()
    assert not name.endswith("-")


def test_different_images_are_never_pushed_under_one_name(tmp_path: Path) -> None:
    images = {"api": "ghcr.io/acme/app:api", "worker": "ghcr.io/acme/app:worker", "clock": "ghcr.io/acme/app:worker"}
    found = builds(tmp_path, images=images, api={"target": "api"}, worker={"target": "w"}, clock={"target": "w"})
    assert {service: build.repository for service, build in found.items()} == {
        "api": "ghcr.io/acme/shop-api",
        "worker": "ghcr.io/acme/shop-worker",
        "clock": "ghcr.io/acme/shop-clock",
    }


def test_equal_builds_may_share_a_name(tmp_path: Path) -> None:
    images = {"api": "ghcr.io/acme/app", "worker": "ghcr.io/acme/app"}
    found = builds(tmp_path, images=images, api={}, worker={})
    assert found["api"] == found["worker"]
    assert found["api"].repository == "ghcr.io/acme/app"


# --- one image of several services

APP = {"build": {"context": "./app"}, "image": "shared:latest"}


@pytest.mark.parametrize(
    ("app", "worker"),
    [
        (APP, "shared:latest"),
        (APP, "shared"),
        (APP, "docker.io/library/shared"),
        (APP, "index.docker.io/library/shared:latest"),
        ({**APP, "image": "team/shared:1"}, "docker.io/team/shared:1"),
        ({**APP, "image": "ghcr.io/acme/app"}, "ghcr.io/acme/app:latest"),
        ({**APP, "image": "localhost:5000/app:2"}, "localhost:5000/app:2"),
        ({"build": {"context": "./app"}}, "shop-app"),
        ({"build": {"context": "./app", "tags": ["shared"]}, "image": "other"}, "shared:latest"),
        ({**APP, "deploy": {"replicas": 0}}, "shared"),
        ({**APP, "profiles": ["never"]}, "shared"),
    ],
)
def test_a_service_that_names_the_image_of_a_build_runs_it(tmp_path: Path, app: dict[str, Any], worker: str) -> None:
    found = of_file(tmp_path, app=app, worker={"image": worker, "pull_policy": "always"})
    assert found.images == {}
    assert found.builds["worker"].context == str(tmp_path / "app")
    assert set(found.builds) == {"app", "worker"} - ({"app"} if "profiles" in app else set())
    assert len(set(build_owners(found.builds).values())) == 1


@pytest.mark.parametrize("image", ["shared:1", "other/shared", "ghcr.io/shared", "shared@sha256:" + "a" * 64])
def test_an_image_of_another_name_is_not_that_of_the_build(tmp_path: Path, image: str) -> None:
    found = of_file(tmp_path, app=APP, worker={"image": image})
    assert list(found.builds) == ["app"]
    assert found.images.keys() == {"worker"}


def test_the_builder_s_image_keeps_its_name_whoever_shares_it(tmp_path: Path) -> None:
    found = of_file(tmp_path, a={"image": "shared"}, web=APP, z={"image": "shared"})
    assert set(build_owners(found.builds).values()) == {"web"}


def test_an_image_is_shared_for_the_platform_of_its_service(tmp_path: Path) -> None:
    found = of_file(tmp_path, app={**APP, "platform": "linux/arm64"}, worker={"image": "shared"})
    assert found.builds["worker"].platforms == ("linux/arm64",)


def test_an_image_that_is_built_in_two_ways_is_refused(tmp_path: Path) -> None:
    other = {**APP, "build": {"context": "./app", "target": "other"}}
    with pytest.raises(SlipwayError) as refused:
        of_file(tmp_path, app=APP, other=other, worker={"image": "shared"})
    assert whats(refused.value.problems) == [
        "services.worker.image: shared is built by app and by other, each in its own way"
    ]


def test_of_two_builds_the_active_profiles_is_meant(tmp_path: Path) -> None:
    dev = {**APP, "build": {"context": "./app", "target": "dev"}, "profiles": ["dev"]}
    found = of_file(tmp_path, app=APP, dev=dev, worker={"image": "shared"})
    assert found.builds["worker"].target is None


@pytest.mark.parametrize(
    ("dockerfile", "section", "warned"),
    [
        ("FROM shared:latest\n", {}, ["shared:latest"]),
        ("from --platform=linux/amd64 shared as x\nFROM x\n", {}, ["shared"]),
        ("FROM scratch\nCOPY --chown=1 --from=shared /a /a\n", {}, ["shared"]),
        ("FROM scratch\n", {"additional_contexts": {"x": "docker-image://shared"}}, ["shared"]),
        ("FROM shared\n", {"additional_contexts": {"shared": "./app"}}, []),
        ("FROM scratch AS shared\nFROM shared\n", {}, []),
        ("FROM debian:13\n", {}, []),
    ],
)
def test_a_build_upon_another_build_s_image_is_warned_of(
    tmp_path: Path, dockerfile: str, section: dict[str, Any], warned: list[str]
) -> None:
    found = of_file(tmp_path, app=APP, web={"build": {"context": ".", "dockerfile_inline": dockerfile, **section}})
    assert [warning.what for warning in found.warnings if "takes" in warning.what] == [
        f"services.web.build takes {base}, which app builds, from a registry" for base in warned
    ]


# --- what is built


def test_every_part_that_slipway_builds_by_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "src" / "docker").mkdir(parents=True)
    (tmp_path / "src" / "docker" / "Dockerfile").touch()
    [build] = builds(
        tmp_path,
        web={
            "context": "./src",
            "dockerfile": "docker/Dockerfile",
            "target": "final",
            "args": {"A": "1", "B": None},
            "secrets": [{"source": "token"}, {"source": "token", "target": "other"}],
            "ssh": ["default"],
            "platforms": ["linux/amd64", "linux/arm64/v8"],
            "additional_contexts": {"base": "docker-image://alpine", "shared": ".."[:1]},
            "extra_hosts": ["a=1.2.3.4"],
            "network": "host",
            "no_cache_filter": ["base"],
            "pull": True,
            "labels": {"org.example.a": "b", "n": 1},
        },
    ).values()
    assert build == Build(
        repository="ghcr.io/acme/shop-web",
        context=str(tmp_path / "src"),
        dockerfile="docker/Dockerfile",
        target="final",
        args={"A": "1"},
        secrets={"token": "NPM_TOKEN", "other": "NPM_TOKEN"},
        ssh=("default",),
        platforms=("linux/amd64", "linux/arm64"),
        additional_contexts={"base": "docker-image://alpine", "shared": str(tmp_path)},
        extra_hosts=("a=1.2.3.4",),
        network="host",
        no_cache=True,
        pull=True,
        labels={"org.example.a": "b", "n": "1"},
    )


# Every key of a build in Compose's schema (compose-spec, schema/compose-spec.json), and what becomes of it.
USED, UNUSED, REFUSED = "used", "not used, with a warning", "refused"
PLAIN, INSECURE = "FROM x\nRUN y\n", "FROM x\nRUN --security=insecure y\n"
KEYS: list[tuple[str, Any, str, str]] = [
    ("context", ".", PLAIN, USED),
    ("dockerfile", "Dockerfile", PLAIN, USED),
    ("dockerfile_inline", "FROM x\n", PLAIN, USED),
    ("target", "x", PLAIN, USED),
    ("args", {"A": "1"}, PLAIN, USED),
    ("secrets", [{"source": "token"}], PLAIN, USED),
    ("ssh", ["default"], PLAIN, USED),
    ("ssh", ["key=./id"], PLAIN, REFUSED),
    ("platforms", ["linux/arm64"], PLAIN, USED),
    ("platforms", ["windows/amd64"], PLAIN, REFUSED),
    ("labels", {"a.b": "c"}, PLAIN, USED),
    ("additional_contexts", {"a": "docker-image://x"}, PLAIN, USED),
    ("additional_contexts", {"a": "service:gone"}, PLAIN, REFUSED),
    ("no_cache", True, PLAIN, USED),
    ("no_cache_filter", ["x"], PLAIN, USED),
    ("pull", True, PLAIN, USED),
    ("network", "host", PLAIN, USED),
    ("network", "mine", PLAIN, REFUSED),
    ("extra_hosts", ["a=1.2.3.4"], PLAIN, USED),
    ("cache_from", ["type=inline"], PLAIN, USED),
    ("cache_to", ["type=inline"], PLAIN, USED),
    ("tags", ["x"], PLAIN, UNUSED),
    ("shm_size", "1gb", PLAIN, UNUSED),
    ("ulimits", {"nofile": 65535}, PLAIN, UNUSED),
    ("isolation", "default", PLAIN, UNUSED),
    ("provenance", "mode=max", PLAIN, UNUSED),
    ("provenance", False, PLAIN, USED),
    ("sbom", True, PLAIN, UNUSED),
    ("sbom", "false", PLAIN, USED),
    ("privileged", True, PLAIN, UNUSED),
    ("privileged", False, INSECURE, USED),
    ("privileged", True, INSECURE, REFUSED),
    ("entitlements", ["security.insecure"], PLAIN, UNUSED),
    ("entitlements", ["security.insecure"], INSECURE, REFUSED),
    ("entitlements", ["network.host"], "FROM x\nRUN --network=host y\n", REFUSED),
    ("x-mine", 1, PLAIN, USED),
    ("zzz", 1, PLAIN, REFUSED),
]


@pytest.mark.parametrize(("key", "value", "dockerfile", "becomes"), KEYS)
def test_every_key_of_a_build_is_used_or_said_not_to_be(
    tmp_path: Path, key: str, value: Any, dockerfile: str, becomes: str
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    found = read(tmp_path, **{key: value}).found
    assert (len(found.problems), len(found.warnings)) == {USED: (0, 0), UNUSED: (0, 1), REFUSED: (1, 0)}[becomes]
    for said in (*found.problems, *found.warnings):
        assert f"services.web.build.{key}" in said.what or "platform windows/amd64" in said.what


# --- builds upon builds


def test_a_build_that_others_build_upon_is_warned_of_once(tmp_path: Path) -> None:
    plain = {"context": "./app", "dockerfile_inline": "FROM scratch"}
    upon = {"build": {**plain, "additional_contexts": {"base": "service:base"}}}
    found = of_file(tmp_path, base={"build": {**plain, "tags": ["x"]}}, web=upon, api=upon)
    assert whats(list(found.warnings)) == ["services.base.build.tags is not used"]


def test_a_context_that_is_another_services_image_is_that_ones_build(tmp_path: Path) -> None:
    upon = {"context": "./app", "additional_contexts": {"base": "service:base", "more": "./app"}}
    found = of_file(
        tmp_path,
        base={"build": {"context": "./app", "target": "x"}, "image": "ghcr.io/acme/anything"},
        web={"build": upon},
        top={"build": {"context": "./app", "additional_contexts": {"web": "service:web"}}},
        twin={"build": upon},
    )
    base, web = found.builds["base"], found.builds["web"]
    assert web.additional_contexts == {"more": str(tmp_path / "app")}
    assert web.bases["base"].content == base.content
    assert web.bases["base"].repository == "ghcr.io/acme/shop-base"
    assert found.builds["top"].bases["web"].content == web.content
    assert build_owners(found.builds)["twin"] == "twin"
    assert build_owners(found.builds)["web"] == "twin"
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("web", "other", "said", "fix"),
    [
        ("service:othr", {"image": "x"}, "there is no service othr", "write docker-image://NAME, or correct"),
        ("service:other", {"image": "x:1"}, "other is not built", "write docker-image://x:1, or correct"),
        ("service:web", {"image": "x"}, "web → web is a circle", "correct"),
        ("service:other", {"build": {"context": ".", "additional_contexts": {"b": "service:web"}}},
         "web → other → web is a circle", "correct"),
        ("target:other", {"image": "x"}, "target:other is not a folder", "correct"),
    ],
)  # fmt: skip
def test_a_context_that_no_build_gives_is_refused(
    tmp_path: Path, web: str, other: dict[str, Any], said: str, fix: str
) -> None:
    services = {"web": {"build": {"context": ".", "additional_contexts": {"a": web}}}, "other": other}
    reader = BuildReader(settings(tmp_path), tmp_path, "shop", {}, Findings(), services=services, dormant={})
    reader.read_service("web", services["web"])
    [problem] = reader.found.problems
    assert problem.what == f"services.web.build.additional_contexts.a: {said}" or "circle" in said
    assert said in problem.what
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"context": "nowhere"}, "services.web.build.context: nowhere is not a folder"),
        ({"dockerfile": "Nothing"}, "services.web.build.dockerfile: Nothing does not exist in the context"),
        ({"network": "mynet"}, "services.web.build.network: 'mynet' is not supported"),
        ({"ssh": ["default", "key=./id"]}, "services.web.build.ssh names a key's file"),
        ({"ssh": ["k: /x"]}, "services.web.build.ssh names a key's file"),
        ({"platforms": ["linux/arm/v6"]}, "services.web.build: platform linux/arm/v6 is not supported"),
        ({"platforms": ["Linux"]}, "services.web.build: platform Linux is not supported"),
        ({"additional_contexts": {"a": "./no"}}, "services.web.build.additional_contexts.a: ./no is not a folder"),
    ],
)
def test_what_cannot_be_built_is_found_before_it_is_tried(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    [problem] = read(tmp_path, **section).found.problems
    assert problem.what.startswith(said)


@pytest.mark.parametrize(
    "context",
    ["https://github.com/acme/app.git#main", "git@github.com:acme/app.git", "ssh://git@host/x", "github.com/acme/app"],
)
def test_a_remote_context_is_left_to_the_builder(tmp_path: Path, context: str) -> None:
    [build] = builds(tmp_path, web={"context": context, "dockerfile": "any"}).values()
    assert build.context == context


@pytest.mark.parametrize(
    ("context", "warned"),
    [
        ("https://example.com/app.git#main", 1),
        ("git@example.com:app.git", 1),
        ("https://example.com/app.tar.gz", 1),
        (f"https://example.com/app.git#{'a' * 40}:sub", 0),
    ],
)
def test_a_remote_context_that_may_change_unnoticed_is_warned_of(tmp_path: Path, context: str, warned: int) -> None:
    said = f"services.web.build.context: {context} names no commit"
    assert [warning.what for warning in read(tmp_path, context=context).found.warnings] == [said] * warned


def test_a_service_for_another_platform_is_built_for_it(tmp_path: Path) -> None:
    reader = read(tmp_path, platform="linux/arm64")
    assert reader.builds["web"].platforms == ("linux/arm64",)
    reader = _reader(tmp_path, platforms=["linux/amd64", "linux/arm64"])
    reader.read("web", {"context": "."}, image=None, platform=None)
    assert reader.builds["web"].platforms == ("linux/amd64", "linux/arm64")


def test_a_build_needs_a_registry(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").touch()
    text = json.dumps({"services": {"web": {"build": "."}}})
    [problem] = problems_of(tmp_path, text, registry="")
    assert problem.what == "registry: not set, though services.web.build makes an image"
    assert problems_of(tmp_path, "services: {web: {image: x}}", registry="") == []


def test_compose_s_short_forms_are_understood(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "Dockerfile").touch()
    found = application(tmp_path, "services: {api: {build: ./api}, web: {build: {context: api, args: [A=1, B]}}}")
    assert found.builds["api"].context == str(tmp_path / "api")
    assert found.builds["web"].args == {"A": "1"}
    assert found.images == {}
    assert all("build" not in service for service in found.document["services"].values())
