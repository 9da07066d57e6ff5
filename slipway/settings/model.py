"""Every setting of a stack: names, types, defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from slipway.contract.deployment import ERROR_RELATIVE, LATENCY_RELATIVE, MINIMUM_REQUESTS
from slipway.contract.redaction import Redactor
from slipway.settings.blocks.github import NOTHING, GitHubSettings, RepositoryName
from slipway.settings.blocks.hetzner import NO_SERVERS, HetznerSettings
from slipway.settings.blocks.hosts import LOCAL_ADDRESS, BastionSettings, HostSettings
from slipway.settings.blocks.notify import NotifyName, NotifySettings, targets
from slipway.settings.quantities import OptionalDuration, Share  # noqa: TC001  # pydantic reads them at run time
from slipway.settings.values import (
    Adopted,
    AuthorityUrl,
    Domain,
    Email,
    Listed,
    Mapped,
    Pem,
    Platform,
    RegistryPlace,
    SecretName,
    StackOnHost,
    Tag,
    TrustedProxy,
    VolumeKeyOrAll,
    Webhook,
    matching,
    one_host_key,
    texts,
    tolerate_json,
    unfolded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from slipway.notify.delivery import Target

__all__ = [
    "LOCAL_ADDRESS", "PREFIX", "SECRET_KEYS", "BastionSettings", "HostSettings", "Settings", "container_keys",
    "is_secret", "known_keys", "pinned_key",
]  # fmt: skip

_WATCH_SECONDS = 3600  # of production, when nothing else is set

ONLINE: Final = "online"
OFFLINE: Final = "offline"
SECRET_KEYS = ("registryPassword", "sshKey", "secrets", "certificateKey", "notifyUrl")
"""Settings that a stack file may hold only encrypted (`secret: true` in Pulumi.yaml)."""

_SECRET_ENTRY = re.compile(r"notify(\.[\w-]+|\[[^\]]*\])\.url")  # of another setting

PREFIX = "SLIPWAY_"
"""How the names of settings begin in the environment and in `.env`."""


class Settings(BaseSettings):
    """All settings of one stack. Names are snake case here, camel case in stack files and Pulumi.yaml."""

    model_config = SettingsConfigDict(
        extra="ignore",  # `load_settings` finds unknown keys itself
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        env_prefix=PREFIX,
    )

    stack: str = Field(exclude=True, description="name of the Pulumi stack")
    owner: str = Field("", exclude=True, description="whose the hosts note what it deploys is: `PROJECT/STACK MARK`")

    application: Path = Field(Path("example"), description="folder of the application, relative to Pulumi.yaml")
    compose_file: Listed[str] = Field(
        default_factory=list,
        description="Compose files in that folder, each merged over those before it; found by Compose's own rules when "
        "empty",
    )
    profiles: Listed[str] = Field(
        default_factory=list, description="Compose profiles whose services are deployed as well; * for all"
    )
    name: Annotated[
        str, matching(r"([a-z0-9][a-z0-9-]{0,30})?", "is not 1 to 31 lower-case letters, digits and dashes")
    ] = Field("", description="name of the application; when empty, the Compose file's `name`, else its folder's")
    production: bool = Field(
        default=False,
        description="refuse weak secrets instead of warning; on by default for stacks named production or prod",
    )

    restricted: bool = Field(
        default=False,
        description="refuse a Compose file that reaches beyond its own containers, as that of a pull request may",
    )

    registry: RegistryPlace = Field("", description="where images are pushed: HOST[:PORT]/PATH")
    registry_username: str = Field("", description="user of the registry")
    registry_password: SecretStr = Field(SecretStr(""), description="password or token of the registry")
    mirror: RegistryPlace = Field(
        "", description="registry HOST[:PORT][/PATH] through which images of Docker Hub are pulled"
    )
    cache: Literal["none", "inline", "registry", "github"] = Field(
        "none", description="where build layers are cached between machines: none, inline, registry or github"
    )
    builder: str = Field("default", min_length=1, description="BuildKit builder (docker buildx ls)")
    platforms: Listed[Platform] = Field(
        default_factory=list, description="platforms to build for, such as linux/amd64; the engine's own when empty"
    )
    pin: Tag = Field("", description="tag of images built earlier; looked up instead of built")
    images: Mapped = Field(
        default_factory=dict, description="images by digest of services that have a build, deployed instead of building"
    )
    release: str = Field(
        "", description="file with a release of this stack (slipway show --release), deployed as it is"
    )
    kind: Literal["deploy", "rollback", "promotion"] = Field(
        "deploy", description="what the history calls an update: deploy, rollback or promotion"
    )

    hosts: Annotated[list[HostSettings], BeforeValidator(tolerate_json)] = Field(
        default_factory=list, description="machines to deploy to: name, address, user, port, hostKey, bastion"
    )
    hetzner: Annotated[HetznerSettings, BeforeValidator(tolerate_json)] = Field(
        NO_SERVERS, description="machines at Hetzner that `pulumi up` makes, beside `hosts`: servers, sshFrom, network"
    )
    hetzner_token: SecretStr = Field(SecretStr(""), exclude=True, description="token of Hetzner's API")
    hetzner_token_kept: bool = Field(default=False, exclude=True, description="whether the stack's file has it")
    ssh_key: SecretStr = Field(SecretStr(""), description="private key for the hosts, in OpenSSH or PEM form")
    ssh_key_file: str = Field("", description="file with that private key, instead of sshKey")

    domain: Domain = Field("", description="domain of this stack; ${DOMAIN} in the Compose file")
    basic_auth: SecretName = Field(
        "", description="secret with lines of htpasswd that every route asks for, whatever the Compose file says"
    )
    variables: Mapped = Field(default_factory=dict, description="values of the Compose file's variables")
    secrets: Annotated[dict[str, SecretStr], BeforeValidator(texts)] = Field(
        default_factory=dict, description="secret values of the Compose file's variables"
    )

    move_from: Listed[
        Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is not the name of a Compose project or a container")]
    ] = Field(
        default_factory=list,
        description="Compose project on the hosts that this stack takes over from, or containers by name",
    )
    adopt_volumes: Adopted = Field(
        default_factory=dict,
        description="existing volumes to use: key in the Compose file → name on the host; Slipway never removes them",
    )
    adopt_networks: Adopted = Field(
        default_factory=dict, description="existing networks to use: key in the Compose file → name on the host"
    )

    edge_image: str = Field("traefik:v3.7.13", description="image of the edge: Traefik 3, by a tag with a full version")
    http_port: int = Field(80, ge=1, le=65535, description="the edge's port for HTTP; one per host, for all its stacks")
    https_port: int = Field(443, ge=1, le=65535, description="the edge's port for HTTPS")
    trusted_proxies: Listed[TrustedProxy] = Field(
        default_factory=list,
        description="load balancers and CDNs in front of the hosts (addresses, networks, cloudflare or fastly), whose "
        "X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    neighbours: Listed[StackOnHost] = Field(
        default_factory=list,
        description="other stacks on the same hosts (APPLICATION-STACK) that may have paths, redirects and previews "
        "below host names of this one",
    )
    https: bool = Field(
        default=False,
        description="serve routes over TLS, redirect HTTP to it; on by default where acmeEmail or certificate is set",
    )
    acme_email: Email = Field("", description="e-mail for the certificate authority that gives certificates (ACME)")
    acme_staging: bool = Field(default=False, description="use Let's Encrypt's staging authority, to try things out")
    acme_server: AuthorityUrl = Field("", description="directory URL of another authority")
    acme_ca: Pem = Field(
        "", description="PEM certificate of the authority that signed that server's own, when it is a private one"
    )
    certificate: Pem = Field("", description="PEM certificate for the routes, with its chain, instead of ACME")
    certificate_key: Annotated[SecretStr, BeforeValidator(unfolded)] = Field(
        SecretStr(""), description="PEM of its private key"
    )
    watch: OptionalDuration = Field(
        "",
        validate_default=True,
        description="how long a release is watched after it goes live, to roll back automatically; 0 turns that off; "
        "when empty, 1h in production and off elsewhere",
    )
    watch_error_rate: Share = Field(
        f"{ERROR_RELATIVE:.0%}",
        validate_default=True,
        description="tolerated increase of errors over the previous release, relative; at least 1% of all requests",
    )
    watch_latency: Share = Field(
        f"{LATENCY_RELATIVE:.0%}",
        validate_default=True,
        description="tolerated increase of time (p50, p95) over the previous release, relative; at least 50ms",
    )
    watch_minimum_requests: int = Field(
        MINIMUM_REQUESTS,
        ge=1,
        le=1_000_000,
        description="requests before traffic is judged well; clearly worse is judged from 20 on",
    )
    watch_restarts: int = Field(
        3, ge=1, le=1000, description="restarts of one container that make the release count as bad"
    )
    notify_url: Webhook = Field(
        SecretStr(""), description="URL that gets a JSON message when a host rolls back automatically"
    )
    notify: Annotated[dict[NotifyName, NotifySettings], BeforeValidator(tolerate_json)] = Field(
        default_factory=dict,
        description="where messages go, by a name: to (discord, slack, teams, webhook or email), url (a secret), "
        "events, sender, recipients",
    )

    github_repository: RepositoryName = Field("", description="repository on GitHub that `github` is about: OWNER/NAME")
    github: Annotated[GitHubSettings, BeforeValidator(tolerate_json)] = Field(
        NOTHING,
        description="the stack's environment there: reviewers, secrets, variables; and what stacks share in it",
    )
    github_admin: bool = Field(
        default=False,
        description="whether `pulumi up` may change the repository, with an administrator's token in GITHUB_TOKEN; "
        "otherwise what it made there stays as it is",
    )

    preview: Literal["online", "offline"] = Field(
        ONLINE,
        description="whether previews look at the hosts, or plan against the stack's state (offline); production's is "
        "offline in the CI job of a pull request, which should not have its key",
    )
    retention: int = Field(5, ge=2, le=100, description="releases that a stack can roll back to, the live one included")
    deadline: int = Field(600, ge=10, le=86400, description="seconds for a whole deployment on a host")
    health_deadline: int = Field(
        120, ge=1, le=3600, description="seconds within which a service must become healthy, beyond its start_period"
    )
    lock_wait: int = Field(60, ge=0, le=3600, description="seconds to wait for another deployment of the stack")
    disk_minimum_mb: int = Field(500, ge=0, description="free disk space that a host must have, MB of 10^6 bytes")
    remove_volumes: Listed[VolumeKeyOrAll] = Field(
        default_factory=list,
        description="volumes that `pulumi destroy` removes, by their name in the Compose file, or * for all",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` merged: it reads each source once, in this project's own order."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def watch_seconds(self) -> int:
        """How long a release is watched after it went live; 0 for not at all."""
        return round(self.watch if self.watch is not None else _WATCH_SECONDS if self.production else 0)

    def located(self, known: Mapping[str, Mapping[str, str]]) -> Settings:
        """With what is known of hosts that `hetzner` makes: name → `address` and `hostKey`."""
        about = {name: {"address": each["address"], "host_key": each["hostKey"]} for name, each in known.items()}
        made = self.hetzner.machines
        hosts = [host.model_copy(update=about.get(host.name) if host.name in made else None) for host in self.hosts]
        return self.model_copy(update={"hosts": hosts})

    def registry_login(self) -> dict[str, str]:
        """`username` and `password` of the registry; empty without a username."""
        if not self.registry_username:
            return {}
        return {"username": self.registry_username, "password": self.registry_password.get_secret_value()}

    def redactor(self) -> Redactor:
        """Knows every secret of the stack."""
        own = {to_camel(name): value for name, value in self if isinstance(value, SecretStr)}
        own |= {f"notify.{name}": each.url for name, each in self.notify.items()}
        return Redactor({name: value.get_secret_value() for name, value in {**own, **self.secrets}.items()})

    def notify_targets(self) -> list[Target]:
        """Where messages about the stack go."""
        return targets(self.notify, production=self.production)

    def private_key(self) -> str:
        """The hosts' private key; empty for a local stack. Raises OSError or UnicodeDecodeError about `sshKeyFile`."""
        key = self.ssh_key.get_secret_value()
        if not key and self.ssh_key_file:
            key = Path(self.ssh_key_file).expanduser().read_text(encoding="utf-8")
        return str(unfolded(key))


def known_keys() -> dict[str, FieldInfo]:
    """Every key of a stack file, in camel case, with its field."""
    return {to_camel(name): field for name, field in Settings.model_fields.items() if not field.exclude}


def is_secret(path: str) -> bool:
    """Whether what `pulumi config set --path` calls so is kept encrypted."""
    return re.split(r"[.\[]", path, maxsplit=1)[0] in SECRET_KEYS or bool(_SECRET_ENTRY.fullmatch(path))


def container_keys() -> frozenset[str]:
    """The keys whose values are lists or mappings; as text they arrive as JSON."""
    defaults = {
        key: field.get_default(call_default_factory=True, validated_data={}) for key, field in known_keys().items()
    }
    return frozenset(key for key, default in defaults.items() if isinstance(default, (list, dict, BaseModel)))


def pinned_key(machine: HostSettings | BastionSettings) -> str:
    """The pinned host key of a validated machine as `ALGORITHM BASE64`."""
    return one_host_key(machine.host_key)
