"""Bundles: one file with all that brings a stack back when its backend is lost."""

from cli.bundles.archive import Bundle
from cli.bundles.exporting import keep_backup
from cli.bundles.state import release_in
from cli.bundles.storage import read_bundle

__all__ = ["Bundle", "keep_backup", "read_bundle", "release_in"]
