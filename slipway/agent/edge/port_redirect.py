"""Redirects new connections from a port of this host to another one, while whatever holds the first hands over.

Docker does not share a published port, so no edge can listen beside it. Open connections stay where they are. The agent
may not be root, so a container does it, with the host's own iptables (which Docker needs, too) below /host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker.docker_api import DockerError
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["PortRedirect"]

_MARK = "slipway-move"
_SECONDS, _POLL_SECONDS = 20.0, 0.02
_STAYS = 3
# Of both families; IPv4 alone decides, as ip6tables fails where there is no IPv6: where it fails though there is,
# visitors over IPv6 are with the old port until that goes, and refused for about a second. With 4 it ends where another
# program holds its lock. What was there of ours goes first: one set at a time.
_SCRIPT = f"""
set -f
stays=0
for t in ip6tables iptables; do
  command -v $t >/dev/null || {{ code=1; continue; }}
  code=0
  for table in nat filter; do
    $t -w 5 -t $table -S | grep -e '--comment {_MARK}' | sed 's/^-A/-D/' | while read -r rule; do
      $t -w 5 -t $table $rule
    done
    left=$($t -w 5 -t $table -S) || [ $? != 4 ] || stays={_STAYS}
    case $left in *{_MARK}*) stays={_STAYS} ;; esac
  done
  for pair in $PAIRS; do
    to="-p tcp -m tcp --dport ${{pair#*:}} -m comment --comment {_MARK} -j ACCEPT"
    $t -w 5 -I INPUT $to || code=1
    for chain in PREROUTING OUTPUT; do
      $t -w 5 -t nat -I $chain -p tcp -m addrtype --dst-type LOCAL -m tcp --dport ${{pair%:*}} \
        -m comment --comment {_MARK} -j REDIRECT --to-ports ${{pair#*:}} || code=1
    done
  done
done
[ $stays = 0 ] || exit $stays
exit $code
"""


class PortRedirect:
    """The redirection of this host's ports; it outlives this process, and ends with `end()` or a reboot."""

    def __init__(self, api: DockerApi, image: str, name: str) -> None:
        """`image` is here and has a chroot command; `name` is the container's."""
        self._api, self._image, self._name = api, image, name

    def set(self, ports: Mapping[int, int]) -> bool:
        """Redirect these ports (from → to) and no others; whether that works here."""
        return self._run(ports) == 0

    def end(self) -> None:
        """Redirect none.

        Raises:
            SlipwayError: rules stay, so whoever is redirected to must go on.
        """
        if self._run({}) == _STAYS:
            raise SlipwayError(
                "ports of this host are still redirected: iptables does not remove the rules",
                "requests reach the edge where it listened meanwhile",
                f"sudo iptables -t nat -S | grep {_MARK}",
            )

    def _run(self, ports: Mapping[int, int]) -> int | None:
        """The script's exit code; None where it cannot be run here."""
        self._api.remove(self._name)  # of a run that was ended
        pairs = " ".join(f"{port}:{to}" for port, to in sorted(ports.items()))
        try:
            made = self._api.create_container(self._name, _body(self._image, pairs))
            self._api.start(made)
            until = runtime.monotonic() + _SECONDS
            while (state := (self._api.container(made) or {}).get("State", {})).get("Running"):
                if runtime.monotonic() > until:
                    return _STAYS
                runtime.sleep(_POLL_SECONDS)
            return int(state.get("ExitCode", 1))
        except DockerError:
            return None
        finally:
            self._api.remove(self._name)


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
