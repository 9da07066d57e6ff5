"""Who may log in: the user of deployments, and how sshd lets anybody in."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from slipway.hosts.preparation.item import Item, file_put

if TYPE_CHECKING:
    from slipway.hosts.preparation.item import Wanted

__all__ = ["login_user", "sshd"]

_SSHD = "/etc/ssh/sshd_config.d/00-slipway.conf"  # sshd takes the first value that it reads, and reads these by name

_LIMITS = (
    ("PasswordAuthentication no", "no"),
    ("KbdInteractiveAuthentication no", "no"),
    ("PermitEmptyPasswords no", "no"),
    ("PermitRootLogin prohibit-password", "(no|prohibit-password|without-password|forced-commands-only)"),
    ("MaxAuthTries 4", "[1-4]"),
    ("LoginGraceTime 30", "([1-9]|[12][0-9]|30)"),
    ("MaxStartups 10:30:60", "[0-9]+:[0-9]+:([0-9]|[1-5][0-9]|60)"),
    ("X11Forwarding no", "no"),
)
"""What sshd is set to, and which of its answers are as strict."""


def login_user(wanted: Wanted) -> Item:
    """The user whom deployments log in as."""
    user, keys = shlex.quote(wanted.user), " ".join(map(shlex.quote, wanted.login_keys))
    check = f"""
id -u {user} > /dev/null 2>&1 || {{ differs "there is no user "{user}; return; }}
id -nG {user} | grep -qw docker && ok {user}" is in the group docker" || differs {user}" is not in the group docker"
file=$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys
[ "$(id -u)" = 0 ] || [ "$(id -un)" = {user} ] || {{ unknown "only root can see its keys"; return; }}
for key in {keys}; do
    grep -qF -- "$key" "$file" 2> /dev/null || differs "$file lacks the key that deploys"
done
"""
    apply = f"""
getent group docker > /dev/null || groupadd --system docker
id -u {user} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}
usermod -aG docker {user}
home=$(getent passwd {user} | cut -d: -f6)
install -d -m 700 -o {user} -g "$(id -gn {user})" "$home/.ssh"
cd "$home/.ssh"
[ -e authorized_keys ] || install -m 600 -o {user} -g "$(id -gn {user})" /dev/null authorized_keys
for key in {keys}; do
    grep -qF -- "$key" authorized_keys && continue
    [ -z "$(tail -c 1 authorized_keys)" ] || echo >> authorized_keys
    printf '%s slipway\\n' "$key" >> authorized_keys
done
"""
    why = "deployments need Docker and nothing else: no root login, no sudo, no password"
    return Item(id="user", title=f"user {wanted.user}", why=why, check=check, apply=apply)


def sshd(wanted: Wanted, *, port: bool) -> Item:
    """How sshd lets anybody in; with `port`, it is given the port, which adds to those of other files."""
    lines = [line for line, _ in _LIMITS]
    asked = " ".join(shlex.quote(f"{line.split()[0].lower()} {answers}") for line, answers in _LIMITS)
    if port:
        lines.append(f"Port {wanted.ssh_port}")
    check = f"""
effective=$(sshd -T 2> /dev/null) || {{ differs "sshd refuses its settings: $(sshd -t 2>&1 | tail -n 1)"; return; }}
for line in {asked}; do
    value=$(printf '%s\\n' "$effective" | grep -i "^${{line%% *}} ")
    printf '%s\\n' "$value" | grep -qxE "$line" || differs "$value"
done
ok "keys only"
"""
    content = "".join(f"{line}\n" for line in lines)
    apply = f"""
sshd -t || fail "sshd refuses the settings that it has already, so none are added"
{file_put(_SSHD, content)}
sshd -t || {{ rm {_SSHD}; fail "sshd refuses the settings of {_SSHD}"; }}
reload_ssh
"""
    return Item(
        id="sshd",
        title="sshd",
        why="passwords are guessed all day; few tries and little time leave room for those who have a key. Who has "
        "none cannot log in any more",
        check=check,
        apply=apply,
        root=True,
        saved=(_SSHD,),
        reload="reload_ssh",
    )
