"""Bundles: one file with all that brings a stack back when its backend is lost.

`archive` is the file's form, `places` where one lies (a file, a folder, a bucket), `exporting` and `importing` what the
commands of these names do, `backups` the bundles kept before something changes a stack. `state` reads what the engine
exports, `stack_file` the stack's own file; `asking` runs the engine. Nobody else needs more than what is named below.
"""

from cli.bundles.archive import Bundle
from cli.bundles.backups import backup_point
from cli.bundles.places import read_state
from cli.bundles.state import release_in

__all__ = ["Bundle", "backup_point", "read_state", "release_in"]
