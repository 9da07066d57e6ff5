"""What sh does on a host to let a key in, and to take it off again: one line of authorized_keys, known by its comment.

The file is replaced in one step, so that one that cannot be written locks nobody out.
"""

from __future__ import annotations

__all__ = ["LOCKED", "let_in", "taken_off"]

LOCKED = "if command -v flock > /dev/null; then exec 9< . && flock 9; fi\n"
"""In ~/.ssh: from here on nobody else of ours changes authorized_keys."""

_LIMITS = "restrict,port-forwarding"  # it may be a bastion's key too
_REPLACED = """\
file=$(readlink -f authorized_keys)
{{ grep -v ' {comment}$' "$file" || [ $? -eq 1 ]; }} > "$file.slipway" && {added}mv "$file.slipway" "$file"
"""


def let_in(comment: str) -> str:
    """Have the key on standard input, `ALGORITHM BASE64`, be the only one with that comment."""
    added = f"""printf '%s\\n' "{_LIMITS} $key {comment}" >> "$file.slipway" && """
    start = "umask 077\nmkdir -p ~/.ssh && cd ~/.ssh && touch authorized_keys && read -r key || exit 1\n"
    return start + LOCKED + _REPLACED.format(comment=comment, added=added)


def taken_off(comment: str) -> str:
    """Have no key with that comment; standard input is not used."""
    start = "umask 077\ncat > /dev/null\ncd ~/.ssh && [ -e authorized_keys ] || exit 0\n"
    return start + LOCKED + _REPLACED.format(comment=comment, added="")
