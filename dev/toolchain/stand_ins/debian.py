"""Debian 13 packages for a machine of any suite, without touching its apt configuration.

Owns: the Debian 13 package sources as this machine's own apt sources imply them, a private apt state under the cache,
and the packages downloaded with it. Does not own: what is done with a package. Produces: sources text, `.deb` files.
Mirrors, proxies and credentials stay what the machine says they are: none is written here but Debian's own public name.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from dev.toolchain.cache import cache_root, locked
from dev.toolchain.process import ToolchainError, run

__all__ = [
    "KEYRING",
    "SUITE",
    "Source",
    "acquire_settings",
    "apt",
    "apt_options",
    "download_packages",
    "machine_suite",
    "sources",
]

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_POCKETS = ("", "-updates", "-security")  # proposed and backports of the machine are its own business
_PUBLIC = "http://deb.debian.org/debian"
_LISTS_LIVE_SECONDS = 24 * 3600
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One package source: where (`uri`), of which `suite`, and the key file that its signatures are checked with."""

    uri: str
    suite: str
    components: str
    signed_by: str = str(KEYRING)

    def render(self, signed_by: str | None = None) -> str:
        """The source as a deb822 stanza; `signed_by` names the key file where it is another one there."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\nComponents: {self.components}\n"
            f"Signed-By: {signed_by or self.signed_by}\n"
        )


def _os_release() -> dict[str, str]:
    release = Path("/etc/os-release")
    if not release.is_file():
        return {}
    pairs = (line.partition("=") for line in release.read_text().splitlines())
    return {key: value.strip('"') for key, _, value in pairs if key}


def machine_suite() -> str:
    """The code name of this machine's Debian, such as bookworm; "" where it is another system."""
    release = _os_release()
    return release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else ""


def _from_deb822(text: str) -> list[Source]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", lines, flags=re.MULTILINE))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes").lower() in {"no", "false"}:
            continue
        key = fields.get("Signed-By", "").strip()
        found += [
            Source(
                uri=uri,
                suite=suite,
                components=fields.get("Components", "main").strip(),
                signed_by=key if key.startswith("/") else str(KEYRING),
            )
            for uri in fields.get("URIs", "").split()
            for suite in fields.get("Suites", "").split()
        ]
    return found


def _from_one_line(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match is None:
            continue
        key = re.search(r"signed-by=(/\S+)", match["options"] or "")
        found.append(
            Source(
                uri=match["uri"],
                suite=match["suite"],
                components=match["components"],
                signed_by=key[1] if key else str(KEYRING),
            )
        )
    return found


def _first_mirror(uri: str) -> str:
    """The first address in a mirror list that is a file of this machine (as cloud images have it), else `uri`.

    The stanzas written here are used in other root file systems, too, where that file is not.
    """
    if not uri.startswith("mirror+file:"):
        return uri
    file = Path("/", uri.removeprefix("mirror+file:").lstrip("/"))
    lines = file.read_text().splitlines() if file.is_file() else []
    mirrors = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return mirrors[0] if mirrors else uri


def sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """The Debian 13 sources that the apt sources under `etc` imply: same servers, the suite's name replaced.

    A machine that is not a Debian (or names no Debian source) gets Debian's public address.
    """
    parts = sorted((etc / "sources.list.d").glob("*")) if (etc / "sources.list.d").is_dir() else []
    found = [source for part in parts if part.suffix == ".sources" for source in _from_deb822(part.read_text())]
    lists = [etc / "sources.list", *(part for part in parts if part.suffix == ".list")]
    found += [source for part in lists if part.is_file() for source in _from_one_line(part.read_text())]
    names = {suite, "stable"} if (suite := machine_suite()) else set()
    wanted = {f"{name}{pocket}": f"{SUITE}{pocket}" for name in names for pocket in _POCKETS}
    implied = [
        dataclasses.replace(source, uri=_first_mirror(source.uri), suite=wanted[source.suite], components="main")
        for source in found
        if source.suite in wanted and "main" in source.components.split()
    ]
    if any(source.suite == SUITE for source in implied):
        return list(dict.fromkeys(implied))
    return [
        Source(uri=_PUBLIC, suite=SUITE, components="main"),
        Source(uri=f"{_PUBLIC}-security", suite=f"{SUITE}-security", components="main"),
    ]


def acquire_settings() -> str:
    """The machine's apt settings about fetching (proxies, clock checks), as text for another apt.conf.d.

    File names in them (client certificates) are left out: they mean nothing in another root file system.
    """
    if not shutil.which("apt-config"):
        return ""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    wanted = re.compile(r"^Acquire::(https?::Proxy(::\S+)?|Check-Valid-Until|Check-Date|Retries|ForceIPv[46]) ")
    return "".join(f"{line}\n" for line in dump.splitlines() if wanted.match(line))


def apt_options() -> list[str]:
    """Options that point an apt program at the private state under the cache and at the Debian 13 sources."""
    state = cache_root() / "apt"
    options = {
        "Dir::State": state / "state",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": state / "sources.d",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Default-Release": "",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        "Acquire::Retries": "2",
        **({"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {}),  # _apt cannot read a private cache
    }
    return [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def apt() -> list[str]:
    """`apt_options` with package lists no older than a day; fetched when there are none.

    Raises:
        ToolchainError: when no Debian 13 source answers.
    """
    state = cache_root() / "apt"
    with locked("apt"):
        text = "\n".join(source.render() for source in sources())
        listed, fetched = state / "sources.d" / "debian13.sources", state / "fetched"
        fresh = fetched.is_file() and time.time() - fetched.stat().st_mtime < _LISTS_LIVE_SECONDS
        if not (fresh and listed.is_file() and listed.read_text() == text):
            for folder in ("state/lists/partial", "cache/archives/partial", "sources.d"):
                (state / folder).mkdir(parents=True, exist_ok=True)
            (state / "status").touch()
            fetched.unlink(missing_ok=True)  # what was fetched before was fetched from other sources
            listed.write_text(text)
            if not KEYRING.is_file() and os.geteuid() == 0:
                run(["apt-get", "install", "--yes", "--no-install-recommends", "debian-archive-keyring"])
            try:
                run(["apt-get", "update", "-qq", "--error-on=any", *apt_options()], seconds=180)
            except ToolchainError as error:
                raise ToolchainError(
                    "the Debian 13 package lists cannot be fetched",
                    f"pieces that are not downloadable elsewhere come from there ({error})",
                    "check the addresses in /etc/apt and the network, then run it again",
                ) from error
            fetched.touch()
    return apt_options()


def download_packages(*names: str, into: Path) -> list[Path]:
    """Download the Debian 13 packages `names` (without dependencies) into `into`; the files, in no given order."""
    into.mkdir(parents=True, exist_ok=True)
    run(["apt-get", "download", "-qq", *apt(), *names], cwd=into, seconds=600)
    return sorted(into.glob("*.deb"))
