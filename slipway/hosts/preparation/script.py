"""Scripts of sh that check items on a host, or bring them about, and what a check prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slipway.hosts.preparation.item import Item

__all__ = ["AS_ROOT", "ONLY_ROOT", "Result", "State", "apply_script", "check_script", "results", "whole_script"]

State = Literal["ok", "differs", "unknown"]
_STATES = ("differs", "unknown", "ok")  # of several lines, the first kind that there is decides
_ITEM = "slipway-item"

ONLY_ROOT = "only root can see it"
AS_ROOT = 'if [ "$(id -u)" != 0 ] && sudo -n true 2> /dev/null; then exec sudo -n /bin/sh -s; else exec /bin/sh -s; fi'
"""Runs the script on standard input as root, or as whoever logged in when that one may not become root."""

# What is installed already is not upgraded along: of Docker, that would stop every container.
_PRELUDE = r"""#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C DEBIAN_FRONTEND=noninteractive
ok() { printf 'ok\t%s\n' "$*"; }
differs() { printf 'differs\t%s\n' "$*"; }
unknown() { printf 'unknown\t%s\n' "$*"; }
fail() { echo "$*" >&2; exit 1; }
has() { command -v "$1" > /dev/null 2>&1; }
systemd() { [ -d /run/systemd/system ]; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }
install_packages() {
    set -- -yqq --no-install-recommends --no-upgrade -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
    apt-get install "$@" > /dev/null 2>&1 && return  # missing or old lists are fetched for a second try
    apt-get update -qq && apt-get install "$@" > /dev/null
}
same() {
    if [ ! -e "$1" ]; then differs "there is no $1"
    elif cmp -s - "$1"; then ok "$1"
    else differs "$1 has other content"; fi
}
put() {
    mkdir -p "${1%/*}" && cat > "$1.slipway-new" && chmod "$2" "$1.slipway-new" && mv "$1.slipway-new" "$1"
}
active() { if systemctl is-active -q "$1"; then ok "$1 is active"; else differs "$1 is not active"; fi; }
enable() { ! systemd || { systemctl daemon-reload && systemctl enable -q --now "$1"; }; }
reload_ssh() {
    sshd -t || return  # with settings that it refuses, it would end
    if systemd; then systemctl try-reload-or-restart ssh; else kill -HUP "$(cat /run/sshd.pid)"; fi
}
system=$( (. /etc/os-release && echo "$ID-$VERSION_ID") 2> /dev/null)
codename=$( (. /etc/os-release && echo "$VERSION_CODENAME") 2> /dev/null)
"""

# What is put back stands on the host, so that it happens even when whoever prepares it is cut off.
_SAVE = """\
saved=$(mktemp -d /run/slipway-saved.XXXXXX) && mkdir "$saved/files"
for file in {files}; do [ ! -e "$file" ] || cp -a --parents "$file" "$saved/files"; done
cat > "$saved/back" <<'END_OF_BACK'
[ -d "$1" ] || exit 0
{prelude}
rm -f {files}
cp -a "$1/files/." /
{reload}
rm -rf "$1"
END_OF_BACK
setsid sh -c 'sleep {seconds}; [ ! -e "$1" ] || sh "$1/back" "$1"' sh "$saved" < /dev/null > /dev/null 2>&1 &
echo "$saved"
"""
_WAIT_SECONDS = 90  # two connections, with all the time that they may take


class Result(NamedTuple):
    """What a host has of an item."""

    item: Item
    state: State
    text: str


def _checks(items: Iterable[Item]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield f"check_{number}() {{\n{item.check.strip()}\n}}"
        if item.root:
            yield f'[ "$(id -u)" = 0 ] || check_{number}() {{ unknown "{ONLY_ROOT}"; }}'
        if item.systemd:
            yield f'systemd || check_{number}() {{ unknown "no systemd here"; }}'


def check_script(items: Iterable[Item]) -> str:
    """A script that changes nothing and prints what `results` reads."""
    items = tuple(items)
    calls = "\n".join(f"echo {_ITEM} {number}; (check_{number}) 2>&1" for number in range(len(items)))
    return "\n".join((_PRELUDE, *_checks(items), f"all() {{\n{calls}\n}}", "all < /dev/null", "exit 0", ""))


def results(items: Iterable[Item], output: str) -> list[Result]:
    """What `check_script` of these items printed; an item of which it said nothing is unknown."""
    items = tuple(items)
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith(f"{_ITEM} "):
            lines = said.setdefault(line.removeprefix(f"{_ITEM} "), [])
        else:
            lines.append(line)
    return [_result(item, said.get(str(number), [])) for number, item in enumerate(items)]


def _result(item: Item, lines: list[str]) -> Result:
    for state in _STATES:
        if texts := [line.removeprefix(f"{state}\t") for line in lines if line.startswith(f"{state}\t")]:
            return Result(item, cast("State", state), "; ".join(texts))
    return Result(item, "unknown", f"its check failed: {lines[-1]}" if lines else "its check said nothing")


def apply_script(item: Item) -> str:
    """A script that brings an item about.

    Of one that could cut off who logs in, it first saves what was there, and prints the folder: `sh FOLDER/back FOLDER`
    puts that back, as the host does by itself when the folder is still there after a while.
    """
    save = ""
    if item.saved:
        save = _SAVE.format(
            files=" ".join(item.saved), prelude=_PRELUDE.strip(), reload=item.reload, seconds=_WAIT_SECONDS
        )
    return f"{_PRELUDE}set -e\napply() {{\n{item.apply.strip()}\n}}\n{save}apply < /dev/null 1>&2\nexit 0\n"


def whole_script(items: Iterable[Item]) -> str:
    """A script that checks every item and brings about what differs; it ends with 1 when anything still does."""
    items = tuple(items)
    applies = [f"apply_{number}() {{\nset -e\n{item.apply.strip()}\n}}" for number, item in enumerate(items)]
    steps = "\n".join(f"step {number} {item.id}" for number, item in enumerate(items))
    end = ("all < /dev/null", "exit $failed", "")
    return "\n".join((_PRELUDE, *_checks(items), *applies, _STEP, f"all() {{\n{steps}\n}}", *end))


_STEP = r"""failed=0
differ() { (check_"$1") 2>&1 | sed -n 's/^differs\t//p'; }
step() {
    [ "$(differ "$1")" ] || return 0
    echo "slipway: $2"
    (apply_"$1")
    code=$? left=$(differ "$1")
    [ "$code" = 0 ] && [ ! "$left" ] && return 0
    echo "slipway: error: $2: ${left:-it ended with $code}" >&2
    failed=1
}
"""
