"""Redirects new connections from a port of this host to another one, while whatever holds the first hands over.

Docker does not share a published port, so no edge can listen beside it. Open connections stay where they are. The agent
may not be root, so a container does it, with the host's own iptables (which Docker needs, too) below /host.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.agent.state.atomic_files import read_object, remove_files, write_atomically
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["PortRedirect"]

_MARK = "slipway-move"
_SECONDS, _POLL_SECONDS = 20.0, 0.02
# Of the exit code: IPv4 is not redirected, rules of ours are seen to stay, and by family (IPv6, IPv4) that its rules
# cannot be listed, as without IPv6, without the permission, or while another program holds the lock of iptables.
_FAILED, _STAYS, _UNLISTED = 1, 2, 4 | 8
_KILLED = 128  # and above: by a signal
_BOOT = "/proc/sys/kernel/random/boot_id"  # no rule outlives it
# Of both families; IPv4 alone decides, as ip6tables fails where there is no IPv6: where it fails though there is,
# visitors over IPv6 are with the old port until that goes, and refused for about a second. Where the rules cannot be
# listed, none is made. What was there of ours goes first: one set at a time.
_SCRIPT = f"""
set -f
stays=0 unlisted=0 failed=1
for family in 4:ip6tables 8:iptables; do
  t=${{family#*:}} left= listed=1 failed=1
  command -v $t >/dev/null || continue
  for table in nat filter; do
    $t -w 5 -t $table -S | grep -e '--comment {_MARK}' | sed 's/^-A/-D/' | while read -r rule; do
      $t -w 5 -t $table $rule
    done
    left=$left$($t -w 5 -t $table -S) || listed=0
  done
  case $left in *{_MARK}*) stays={_STAYS} ;; esac
  [ $listed = 1 ] || {{ unlisted=$((unlisted + ${{family%:*}})); continue; }}
  failed=0
  for pair in $PAIRS; do
    to="-p tcp -m tcp --dport ${{pair#*:}} -m comment --comment {_MARK} -j ACCEPT"
    $t -w 5 -I INPUT $to || failed=1
    for chain in PREROUTING OUTPUT; do
      $t -w 5 -t nat -I $chain -p tcp -m addrtype --dst-type LOCAL -m tcp --dport ${{pair%:*}} \
        -m comment --comment {_MARK} -j REDIRECT --to-ports ${{pair#*:}} || failed=1
    done
  done
done
exit $((failed + stays + unlisted))
"""


class PortRedirect:
    """The redirection of this host's ports; it outlives this process, and ends with `end()` or a reboot."""

    def __init__(self, api: DockerApi, image: str, name: str, note: str) -> None:
        """`image` is here and has a chroot command; `name` is the container's, `note` a file: there may be rules."""
        self._api, self._image, self._name, self._note = api, image, name, note

    def set(self, ports: Mapping[int, int]) -> bool:
        """Redirect these ports (from → to) and no others; whether that works here. OSError if it cannot be noted."""
        families = self._noted() or _UNLISTED & ~self._run({})  # what cannot be listed could not be seen to go
        if not families:
            return False
        self._write(families)
        code = self._run(ports)
        self._write(families | _UNLISTED & ~code)
        return not code & (_FAILED | _STAYS)

    def end(self) -> None:
        """Redirect none; nothing where iptables cannot be used and nobody made a rule.

        Raises:
            SlipwayError: rules stay, or may, so whoever is redirected to must go on.
        """
        if self._run({}) & (_STAYS | self._noted()):
            raise SlipwayError(
                "ports of this host are still redirected: iptables does not remove the rules, or does not show them",
                "requests reach the edge where it listened meanwhile",
                f"sudo iptables -t nat -S | grep {_MARK}",
            )
        remove_files(self._note)

    def _noted(self) -> int:
        """The families in which there may be rules since this boot, whoever made them, as in _UNLISTED."""
        noted = read_object(self._note)
        return int(noted["families"]) if noted and noted["boot"] == _boot() else 0

    def _write(self, families: int) -> None:
        write_atomically(self._note, json.dumps({"boot": _boot(), "families": families}).encode())

    def _run(self, ports: Mapping[int, int]) -> int:
        """The script's exit code. One that was cut off may have made rules, or left them."""
        never, cut_off = _FAILED | _UNLISTED, _FAILED if ports else _UNLISTED
        self._api.remove(self._name)  # of a run that was ended
        pairs = " ".join(f"{port}:{to}" for port, to in sorted(ports.items()))
        try:
            made = self._api.create_container(self._name, _body(self._image, pairs))
            self._api.start(made)
            until = runtime.monotonic() + _SECONDS
            while (state := (self._api.container(made) or {}).get("State", {})).get("Running"):
                if runtime.monotonic() > until:
                    return cut_off
                runtime.sleep(_POLL_SECONDS)
            code = int(state.get("ExitCode", _KILLED))
            return code if code <= never | _STAYS else cut_off if code >= _KILLED else never
        except DockerError:
            return never
        finally:
            self._api.remove(self._name)


def _boot() -> str:
    with open(_BOOT, encoding="ascii") as file:
        return file.read().strip()


def _body(image: str, pairs: str) -> dict[str, object]:
    return {
        "Image": image,
        "Entrypoint": ["chroot", "/host", "/bin/sh", "-c", _SCRIPT],
        "User": "0:0",
        "Env": [f"PAIRS={pairs}", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "HostConfig": {
            "NetworkMode": "host",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_ADMIN", "NET_RAW", "SYS_CHROOT"],
            "SecurityOpt": ["no-new-privileges"],
            "Binds": ["/:/host:ro", "/run:/host/run"],  # Docker's own calls take the lock there
        },
    }
