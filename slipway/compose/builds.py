"""`build:` sections: what is built, and where its image is pushed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.config.compose_model import without_escapes
from slipway.contract.problems import Problem
from slipway.settings.registry_names import is_reference, mirrored, without_tag
from slipway.settings.setting_files import config_set
from slipway.settings.values import PLATFORMS, plain_platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = ["IMAGE", "Build", "BuildReader"]

_KNOWN = {
    "context", "dockerfile", "dockerfile_inline", "target", "args", "secrets", "ssh", "platforms", "labels",
    "additional_contexts", "no_cache", "no_cache_filter", "pull", "network", "extra_hosts", "cache_from", "cache_to",
}  # fmt: skip
# What pulumi-docker-build has no word for, and which decides whether a step can run, not what it makes.
_IGNORED = {
    "tags": "images are tagged with stack, commit and branch",
    "shm_size": "the builder has a size of its own",
    "ulimits": "a step runs with the builder's own limits; `RUN ulimit -n …` raises them up to its hard ones",
    "isolation": "a builder for Linux knows one kind only",
    "provenance": "the builder's own default decides",
    "sbom": "the builder's own default decides",
    "privileged": "no step of its Dockerfile asks for it (`RUN --security=insecure`)",
    "entitlements": "no step of its Dockerfile asks for them (`RUN --security=insecure`, `--network=host`)",
}
_ENTITLED = {"privileged": r"--security=insecure", "entitlements": r"--security=insecure|RUN\b.*--network=host"}
_SERVICE = "service:"
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")
IMAGE = "docker-image://"
_BASES = re.compile(
    r"^[ \t]*(?:FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?|(?:COPY|ADD)[ \t].*?--from=(\S+))",
    re.IGNORECASE | re.MULTILINE,
)
_COMMIT = re.compile(r"#[0-9a-f]{40}(:|$)")
_NETWORKS = ("default", "host", "none")


@dataclass(frozen=True, kw_only=True)
class Build:
    """A `build:` section."""

    repository: str
    """Where the image is pushed, without tag."""
    context: str
    """Folder or URL of the context; folders relative to the Compose file's folder made absolute."""
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """BuildKit secret id → name of the stack's secret."""
    ssh: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    additional_contexts: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, Build] = field(default_factory=dict)
    """Additional context → the build whose image it is (`service:NAME`)."""
    labels: Mapping[str, str] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    network: str | None = None
    no_cache: bool = False
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    """Cache imports as the Compose file states them; the setting `cache` decides when there is neither."""
    cache_to: tuple[str, ...] = ()
    shared: bool = False
    """Whether the section is another service's, whose image this one names."""

    @property
    def content(self) -> Build:
        """What decides about the image: equal builds are one."""
        bases = {name: base.content for name, base in self.bases.items()}
        return replace(self, repository="", shared=False, bases=bases)

    @property
    def recipe(self) -> str:
        """The Dockerfile's text; empty where it is on no disk of this machine."""
        file = Path(self.context, self.dockerfile or "Dockerfile")
        if self.dockerfile_inline or not file.is_file():
            return self.dockerfile_inline or ""
        return file.read_text(encoding="utf-8", errors="replace")


class BuildReader:
    """Reads the `build:` sections of one Compose file."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        application: str,
        secrets: Mapping[str, str],
        found: Findings,
        *,
        services: Mapping[str, Any],
        dormant: Mapping[str, Any],
    ) -> None:
        """`folder` is the Compose file's; `secrets` maps the file's top-level secrets to the stack's.

        `services` are the file's, `dormant` those of profiles that are not active; one of either may build an image
        that others name.
        """
        self._settings, self._folder, self._application, self._secrets = settings, folder, application, secrets
        self.found = found
        self.builds: dict[str, Build] = {}
        self._services = services
        self._reading: list[str] = []
        """The services whose builds are being read, each a context of the one before it."""
        self._builders: dict[str, dict[str, Any]] = {}
        """Full name of an image → the services that build it, by name."""
        for group in (services, dormant):
            found_here: dict[str, dict[str, Any]] = {}
            for name, service in group.items():
                if build := service.get("build"):
                    for each in (service.get("image") or f"{application}-{name}", *(build.get("tags") or ())):
                        found_here.setdefault(_full_name(each), {})[name] = service
            self._builders = {**found_here, **self._builders}

    def read_service(self, name: str, service: Mapping[str, Any]) -> bool:
        """Take what `service` is built from: its own section, or that of the service whose image it names.

        False when nothing in the file builds its image.
        """
        image, owner = service.get("image"), name
        if not service.get("build"):
            builders = self._builders.get(_full_name(image or ""), {})
            if not builders:
                return False
            owner = next(iter(builders))
            if any(each["build"] != builders[owner]["build"] for each in builders.values()):
                self._refuse(
                    f"services.{name}.image: {image} is built by {' and by '.join(builders)}, each in its own way",
                    "give each build an `image:` of its own",
                    f"it is not known which of them {name} runs",
                )
            service = {"platform": builders[owner].get("platform"), **service, "build": builders[owner]["build"]}
        build = without_escapes(service["build"])
        self.read(name, build, image=image, platform=service.get("platform"), owner=owner)
        return True

    def read(
        self, service: str, build: Mapping[str, Any], *, image: str | None, platform: str | None, owner: str = ""
    ) -> None:
        """Take the `build:` section of `service`, beside its `image` and `platform`; nothing in it is escaped.

        `owner` is the service in which it stands, if that is another.
        """
        self._reading.append(owner or service)
        self.builds[service] = self._build(service, build, image=image, platform=platform, owner=owner)
        self._reading.pop()

    def _build(
        self, service: str, build: Mapping[str, Any], *, image: str | None, platform: str | None, owner: str
    ) -> Build:
        where = f"services.{owner or service}.build"
        context = self._folder_or_url(f"{where}.context", build.get("context") or ".")
        inline, dockerfile = build.get("dockerfile_inline"), build.get("dockerfile")
        if dockerfile and not inline and not _REMOTE.match(context):
            self._check_dockerfile(f"{where}.dockerfile", context, dockerfile)
        contexts = {
            key: (f"{where}.additional_contexts.{key}", str(value))
            for key, value in (build.get("additional_contexts") or {}).items()
        }
        bases = {key: self._base(*each) for key, each in contexts.items() if each[1].startswith(_SERVICE)}
        platforms = build.get("platforms") or ([platform] if platform else self._settings.platforms)
        found = Build(
            repository=self._repository(service, image),
            context=context,
            dockerfile=None if inline else dockerfile,
            dockerfile_inline=inline,
            target=build.get("target"),
            args={key: str(value) for key, value in (build.get("args") or {}).items() if value is not None},
            secrets={
                entry.get("target") or entry["source"]: self._secrets[entry["source"]]
                for entry in build.get("secrets") or []
                if self._secrets.get(entry["source"])
            },
            ssh=self._ssh(where, build.get("ssh") or ()),
            platforms=tuple(self._platform(where, each) for each in platforms),
            additional_contexts={key: self._folder_or_url(*each) for key, each in contexts.items() if key not in bases},
            bases={key: base for key, base in bases.items() if base},
            labels={key: str(value) for key, value in (build.get("labels") or {}).items()},
            extra_hosts=tuple(build.get("extra_hosts") or ()),
            network=build.get("network"),
            no_cache=bool(build.get("no_cache") or build.get("no_cache_filter")),  # some stages: all is more
            pull=bool(build.get("pull")),
            cache_from=tuple(build.get("cache_from") or ()),
            cache_to=tuple(build.get("cache_to") or ()),
            shared=owner not in ("", service),
        )
        self._check_keys(where, build, found.recipe)
        self._check_bases(where, owner or service, found.recipe, build.get("additional_contexts") or {})
        return found

    def finish(self) -> dict[str, Build]:
        """All builds; those that would push different images under one name get names of their own."""
        contents: dict[str, list[Build]] = {}
        for build in self.builds.values():
            others = contents.setdefault(build.repository, [])
            if not any(build.content == other.content for other in others):
                others.append(build)
        return {
            service: replace(build, repository=self._own_repository(service))
            if len(contents[build.repository]) > 1
            else build
            for service, build in self.builds.items()
        }

    def _check_keys(self, where: str, build: Mapping[str, Any], dockerfile: str) -> None:
        for key in sorted(build.keys() - _KNOWN):
            if str(build[key]).lower() == "false" and key in _IGNORED:
                continue
            if key in _ENTITLED and re.search(_ENTITLED[key], dockerfile):
                self._refuse(
                    f"{where}.{key} is not supported, and its Dockerfile needs it",
                    "build the image elsewhere and name it with `image:`",
                    "the builder gives no step the machine's own rights",
                )
            elif key in _IGNORED:
                self.found.warn(f"{where}.{key} is not used", _IGNORED[key], f"remove {key} from {where}")
            elif not key.startswith("x-"):
                self._refuse(f"{where}.{key} is not supported", f"remove {key} from {where}")
        if build.get("network") and build["network"] not in _NETWORKS:
            self._refuse(
                f"{where}.network: '{build['network']}' is not supported", f"write one of: {', '.join(_NETWORKS)}"
            )
        if not self._settings.registry:
            self.found.add(
                Problem.about(
                    "registry",
                    f"not set, though {where} makes an image",
                    "hosts can only run what they can pull, from a place such as ghcr.io/acme",
                    config_set(self._settings.stack, "registry"),
                    "setting-missing",
                )
            )

    def _refuse(self, what: str, fix: str, meaning: str = "the image would differ from the one you expect") -> None:
        self.found.refuse(what, meaning, fix)

    def _folder_or_url(self, where: str, value: str) -> str:
        if _REMOTE.match(value):
            if not value.startswith((IMAGE, "oci-layout://")) and not _COMMIT.search(value):
                self.found.warn(
                    f"{where}: {value} names no commit",
                    "what changes there is not noticed: the image is built anew when something else of it changes",
                    "write #COMMIT after it, with all 40 digits, and change that",
                )
            return value
        path = os.path.normpath(self._folder / value)
        if not os.path.isdir(path):  # noqa: PTH112  # the build gets the text itself
            self._refuse(f"{where}: {value} is not a folder", f"correct {where}", "the image cannot be built")
        return path

    def _base(self, where: str, value: str) -> Build | None:
        """The build of the service that an additional context names; None after reporting why there is none."""
        name = value.removeprefix(_SERVICE)
        service = self._services.get(name) or {}
        if name in self._reading:
            circle = " → ".join([*self._reading[self._reading.index(name) :], name])
            self._refuse(f"{where}: {circle} is a circle", f"correct {where}", "none of them could be built first")
        elif not service.get("build"):
            what = f"{name} is not built" if service else f"there is no service {name}"
            fix = f"write docker-image://{service.get('image') or 'NAME'}, or correct {where}"
            self._refuse(f"{where}: {what}", fix, "a context of that kind is the image of another build")
        else:
            self._reading.append(name)
            build, image = without_escapes(service["build"]), service.get("image")
            base = self._build(name, build, image=image, platform=service.get("platform"), owner="")
            self._reading.pop()
            return replace(base, repository=self._own_repository(name))
        return None

    def _check_dockerfile(self, where: str, context: str, dockerfile: str) -> None:
        if os.path.isdir(context) and not os.path.isfile(os.path.join(context, dockerfile)):  # noqa: PTH112, PTH113, PTH118
            what, fix = f"{where}: {dockerfile} does not exist in the context", f"create it, or correct {where}"
            self._refuse(what, fix, "the image cannot be built")

    def _check_bases(self, where: str, owner: str, text: str, contexts: Mapping[str, str]) -> None:
        """Warn of images that a Dockerfile begins with or copies from, and that another build of this file makes."""
        stages = {stage for _, stage, _ in _BASES.findall(text)}
        bases = {base or source for base, _, source in _BASES.findall(text)} - stages - contexts.keys()
        bases |= {value.removeprefix(IMAGE) for value in contexts.values() if value.startswith(IMAGE)}
        for base in sorted(bases):
            if others := sorted(self._builders.get(_full_name(base), {}).keys() - {owner}):
                self.found.warn(
                    f"{where} takes {base}, which {' and '.join(others)} builds, from a registry",
                    "a build sees no image of another: it is an earlier one, or somebody else's",
                    f"write `additional_contexts: {{{base}: service:{others[0]}}}` in {where}",
                )

    def _ssh(self, where: str, entries: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        for entry in entries:
            if not re.fullmatch(r"[\w-]+", entry):
                self._refuse(f"{where}.ssh names a key's file", "write `ssh: [default]` and hand the key to ssh-agent")
        return tuple(entries)

    def _platform(self, where: str, platform: str) -> str:
        plain = plain_platform(platform)
        if plain not in PLATFORMS:
            self._refuse(f"{where}: platform {platform} is not supported", f"name one of: {', '.join(PLATFORMS)}")
        return plain

    def _repository(self, service: str, image: str | None) -> str:
        """The one that `image:` names, when it is below the registry and may be named; else the service's own."""
        bare, registry = without_tag((image or "").split("@", 1)[0]), self._settings.registry
        if self._settings.restricted or not registry or not bare.startswith(f"{registry}/"):
            return self._own_repository(service)
        if not is_reference(bare):
            what, fix = f"services.{service}.image: '{image}' is not the name of an image", f"write {bare.lower()}"
            fix = fix if is_reference(bare.lower()) else f"correct services.{service}.image, or remove it"
            self._refuse(what, fix, "it could not be pushed under that name")
        return bare

    def _own_repository(self, service: str) -> str:
        """`REGISTRY/APPLICATION-SERVICE`, in the characters that an image's name may have."""
        name = re.sub(r"[^a-z0-9]+", "-", f"{self._application}-{service}".lower()).strip("-")
        return f"{self._settings.registry}/{name}"


def _full_name(image: str) -> str:
    """An image's name as Docker completes it: `app` is docker.io/library/app:latest."""
    tagged = image if "@" in image or ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
    return mirrored(tagged, "docker.io")
