"""A Debian 13 root file system, made from packages where no image can be pulled.

Owns: the minimal root file system that stand-in images start from, and the way any other one is made. Does not own:
images, test hosts. Produces: a tar file in the cache. Trust and addresses come from the machine: its package sources,
its apt proxy, and the certificate authorities that somebody added to it, so that apt, pip and uv work inside, too.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dev.toolchain.cache import cache_root, cached
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import step
from dev.toolchain.stand_ins.debian import KEYRING, SUITE, acquire_settings, download_packages, sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["bootstrap", "debian_key", "ensure_debian"]

_FORMAT = "1"  # raise it when this module changes what comes out
_EPOCH = "1754697600"  # Debian 13's release day, 2025-08-09: a fixed date for every file that is newer
_APT_CONF = 'Acquire::Languages "none";\nAPT::Keep-Downloaded-Packages "false";\nDir::Cache::pkgcache "";\n'
_UNWANTED = ("man", "info", "locale", "doc")  # folders of /usr/share, as in Debian's own slim images
_DPKG_CONF = "".join(f"path-exclude=/usr/share/{folder}/*\n" for folder in _UNWANTED) + (
    "path-include=/usr/share/doc/*/copyright\nforce-unsafe-io\n"
)
_STRIP = (
    'cd "$1/usr/share" && rm -rf man/* info/* locale/* && '
    "find doc -mindepth 1 ! -type d ! -name copyright -delete && find doc -mindepth 1 -type d -empty -delete"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def _added_authorities() -> list[str]:
    """The certificate authorities (PEM) that this machine trusts beyond those of its distribution."""
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    bundles = [Path(os.environ[name]) for name in names if os.environ.get(name)]
    trusted = [
        found
        for bundle in dict.fromkeys([Path("/etc/ssl/certs/ca-certificates.crt"), *bundles])
        if bundle.is_file()
        for found in _CERTIFICATE.findall(bundle.read_text(errors="replace"))
    ]
    files = [file for file in Path("/usr/share/ca-certificates").glob("**/*.crt") if file.is_file()]
    shipped = "".join(file.read_text(errors="replace") for file in files)
    known = {found.replace("\n", "") for found in _CERTIFICATE.findall(shipped)}
    return [found for found in dict.fromkeys(trusted) if found.replace("\n", "") not in known]


@functools.cache
def _overlay() -> Mapping[str, str]:
    """The files laid over a fresh root file system: its path there → content."""
    files = {
        "/etc/apt/apt.conf.d/90slipway": _APT_CONF + acquire_settings(),
        "/etc/dpkg/dpkg.cfg.d/90slipway": _DPKG_CONF,
    }
    stanzas = []
    for source in sources():
        key = Path(source.signed_by)
        inside = str(KEYRING)
        if key.parent != KEYRING.parent and key.suffix == ".asc":
            inside = f"/etc/apt/keyrings/{key.name}"
            files[inside] = key.read_text()
        stanzas.append(source.render(inside))
    files["/etc/apt/sources.list.d/debian.sources"] = "\n".join(stanzas)
    for number, authority in enumerate(_added_authorities()):
        files[f"/usr/local/share/ca-certificates/machine-{number}.crt"] = f"{authority}\n"
    return files


def debian_key(*parts: str) -> str:
    """A key (hexadecimal) that changes with this machine's sources, trust and architecture, and with `parts`."""
    text = "\0".join([_FORMAT, SUITE, platform.machine(), *(f"{k}={v}" for k, v in sorted(_overlay().items())), *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _mmdebstrap() -> tuple[list[str], dict[str, str]]:
    """The bootstrapping program (a Perl script of Debian 13, unpacked in the cache) and its environment."""

    def unpack(folder: Path) -> None:
        package = download_packages("mmdebstrap", into=folder)[0]
        run(["dpkg-deb", "--extract", str(package), str(folder)])
        package.unlink()

    programs = cached("mmdebstrap", _FORMAT, unpack) / "usr/bin"
    perl = ["perl", "-MEnglish", "-MPod::Usage", "-MFile::Temp", "-e", "1"]
    if not shutil.which("perl") or subprocess.run(perl, capture_output=True, check=False).returncode != 0:
        raise ToolchainError("perl is not installed in full", "mmdebstrap is written in it", "apt-get install perl")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:{programs}"
    return ["perl", str(programs / "mmdebstrap")], {"PATH": path, "SOURCE_DATE_EPOCH": _EPOCH}


def bootstrap(target: Path, *, include: Sequence[str], commands: Sequence[str] = ()) -> None:
    """Make a Debian 13 root file system with the packages `include` at `target` (a `.tar` file, or a folder as root).

    Args:
        target: What is made.
        include: Packages beyond the minimal set, without what they only recommend.
        commands: Shell commands run inside at the end.

    Raises:
        ToolchainError: no apt here, no source that answers, or (not as root) no user namespaces with subordinate ids.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ToolchainError(
            "Debian packages cannot be unpacked on this machine",
            "images cannot be pulled, and without apt no stand-in can be made",
            "let the engine reach Docker Hub, or use a Debian or Ubuntu machine",
        )
    program, environment = _mmdebstrap()
    with tempfile.TemporaryDirectory(dir=cache_root(), prefix="overlay-") as scratch:
        early: list[str] = []
        late: list[str] = []
        for number, (path, content) in enumerate(_overlay().items()):
            local = Path(scratch, str(number))
            local.write_text(content)
            local.chmod(0o644)
            # apt reads the sources until the end; all else must be there before ca-certificates is set up
            stage = late if "/sources.list.d/" in path else early
            stage += [f'mkdir -p "$1{Path(path).parent}"', f"upload {local} {path}"]
        late += ['rm -f "$1/etc/apt/sources.list.d/0000main.sources"']
        late += [f'chroot "$1" sh -euc {shlex.quote(command)}' for command in commands]
        late += [_STRIP, 'rm -f "$1/etc/resolv.conf" "$1/etc/hostname"']
        argv = [
            *program,
            f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            "--variant=minbase",
            "--quiet",
            "--skip=check/empty",  # `target` may be an empty folder that exists
            f"--include={','.join(['ca-certificates', *include])}",
            "--dpkgopt=force-unsafe-io",
            *(f"--aptopt={line.rstrip(';')}" for line in acquire_settings().splitlines()),
            '--aptopt=Acquire::Languages "none"',
            *(f"--essential-hook={hook}" for hook in early),
            *(f"--customize-hook={hook}" for hook in late),
            SUITE,
            str(target),
            "-",
        ]
        text = "\n".join(source.render() for source in sources())
        try:
            run(argv, env=environment, stdin=text.encode())
        except ToolchainError as error:
            if os.geteuid() == 0:
                raise
            raise ToolchainError(
                "a root file system cannot be made by this user",
                f"it takes user namespaces with subordinate ids ({error})",
                "sudo apt-get install uidmap && sudo usermod --add-subuids 100000-165535 "
                "--add-subgids 100000-165535 $USER, or run it as root",
            ) from error


def ensure_debian() -> Path:
    """The minimal Debian 13 root file system with the machine's certificate authorities: a tar file in the cache."""

    def make(folder: Path) -> None:
        with step("making a Debian 13 root file system", "base images cannot be pulled here"):
            bootstrap(folder / "debian.tar", include=[])

    return cached("debian", debian_key(), make) / "debian.tar"
