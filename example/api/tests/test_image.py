"""What the image is built from."""

import re
import tomllib
from pathlib import Path

API = Path(__file__).resolve().parent.parent


def test_image_installs_what_the_tests_ran_with() -> None:
    """After a change of dependencies: uv export --no-dev --quiet --output-file requirements.lock."""
    locked = {
        package["name"]: package["version"]
        for package in tomllib.loads((API / "uv.lock").read_text())["package"]
        if "version" in package
    }
    exported = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (API / "requirements.lock").read_text(), re.MULTILINE))
    assert {"fastapi", "sqlalchemy", "alembic", "redis", "psycopg-binary"} <= exported.keys()
    assert exported.items() <= locked.items()
