"""The configuration file of the example: shipped beside the Compose file, mounted into the API, shown by the page."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import ExampleError

__all__ = ["Features"]


class Features(BaseModel):
    """What `config/features.json` may say; every value has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    announcement: str = Field(default="", max_length=200)
    """One line shown under the heading."""

    accent: str = Field(default="#0f766e", pattern=r"^#[0-9a-fA-F]{6}$")
    """Colour of the page's controls."""

    notes: bool = True
    """Whether the page offers notes."""

    recent: int = Field(default=6, ge=1, le=50)
    """How many notes and how many jobs are listed."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read the file; without a path, the defaults.

        Raises:
            ExampleError: when the file is named and cannot be used. Defaults would hide that it was not shipped.
        """
        if path is None:
            return cls()
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except IsADirectoryError as error:
            raise ExampleError(
                f"{path} is a directory: Docker makes one where the mounted file does not exist. "
                "Put config/features.json beside the Compose file and create the container again."
            ) from error
        except (OSError, ValueError, ValidationError) as error:
            raise ExampleError(f"{path} cannot be used: {error}") from error
