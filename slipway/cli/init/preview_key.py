"""A key for previews: what sshd does for it instead of what it asks for, and the line that says so on every host."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError, in_brief
from slipway.hosts.agent_channel import agent_path
from slipway.hosts.authorized_keys import LOCKED
from slipway.hosts.connection import load_asyncssh, reached

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.settings.model import HostSettings, Settings

__all__ = ["add_line", "authorized_line"]

_ADD = (
    """\
umask 077
mkdir -p ~/.ssh && touch ~/.ssh/authorized_keys && cd ~/.ssh && read -r line || exit 1
key=${line##*restrict } && key=${key#* } && key=${key%% *}
"""
    + LOCKED
    + """\
if grep -F -- "$key" authorized_keys | grep -vqxF -- "$line"; then echo other; exit; fi
if grep -qxF -- "$line" authorized_keys; then echo there; exit; fi
[ -z "$(tail -c 1 authorized_keys)" ] || echo >> authorized_keys
printf '%s\\n' "$line" >> authorized_keys && echo added
"""
)
_NEW_KEY = "ssh-keygen -t ed25519 -N '' -f preview_ed25519"
_SECONDS = 30


def authorized_line(public_key: Path, project: str, settings: Settings) -> str:
    """The line of authorized_keys for `public_key`, with which it can look at `project` (the stack on its hosts).

    Raises:
        SlipwayError: the file holds no public key, or that of `sshKey`.
    """
    asyncssh = load_asyncssh()
    try:
        lines = public_key.read_text(encoding="utf-8").strip().splitlines()
        key = asyncssh.import_public_key(lines[0] if len(lines) == 1 else "")
    except OSError as error:
        raise SlipwayError(
            f"{public_key} cannot be read ({error.strerror})", "there is no key to allow", _NEW_KEY
        ) from None
    except (asyncssh.KeyImportError, UnicodeDecodeError):
        raise SlipwayError(
            f"{public_key} is not a public key in OpenSSH form", "a host cannot be told which key to allow", _NEW_KEY
        ) from None
    public = key.export_public_key("openssh").decode().split()[:2]
    if (own := settings.private_key()) and asyncssh.import_private_key(own).public_data == key.public_data:
        raise SlipwayError(
            f"{public_key} is the key that deploys ({settings.stack}'s sshKey)",
            "the first line for a key decides, so it could no longer deploy, or could still do everything",
            _NEW_KEY,
        )
    path = agent_path(project)
    command = (
        f'[ -e {path} ] && exec python3 "$(readlink -f {path})" look --stack {project}; '
        "echo nothing is deployed here >&2; exit 1"
    )
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'command="{quoted}",restrict {" ".join(public)} slipway-preview-{project}'


def add_line(line: str, settings: Settings) -> dict[str, bool | SlipwayError]:
    """Add a line to authorized_keys on every host: by host, whether it was not there yet, or why it could not be."""

    async def add(host: HostSettings) -> bool | SlipwayError:
        try:
            async with reached(host, settings.private_key()) as connection, asyncio.timeout(_SECONDS):
                process = await connection.start(f"exec /bin/sh -c {shlex.quote(_ADD)}")
                process.stdin.write(f"{line}\n".encode())
                process.stdin.write_eof()
                said = (await process.stdout.read(100)).strip()
                reason = in_brief((await process.stderr.read(2000)).decode(errors="replace"))
        except SlipwayError as error:
            return error
        except TimeoutError:
            said, reason = b"", f"no answer within {_SECONDS} s"
        if said == b"other":
            return SlipwayError(
                f"host {host.name}: authorized_keys has this key in another line already",
                "sshd goes by the first line for a key, so it may do there what that one says",
                _NEW_KEY,
            )
        if said not in (b"added", b"there"):
            return SlipwayError(
                f"host {host.name}: authorized_keys cannot be changed ({reason or 'it did not say why'})",
                "the key is not allowed there",
                f"add it by hand there: {line}",
            )
        return bool(said == b"added")

    async def add_everywhere() -> list[bool | SlipwayError]:
        return await asyncio.gather(*(add(host) for host in remote))

    remote = [host for host in settings.hosts if not host.local]
    if not remote:
        raise SlipwayError(
            f"no host of {settings.stack} is reached over SSH", "there is nothing to allow", "slipway status"
        )
    return dict(zip([host.name for host in remote], asyncio.run(add_everywhere()), strict=True))
