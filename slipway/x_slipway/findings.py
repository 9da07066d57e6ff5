"""What is found while a Compose file is read."""

from __future__ import annotations

from slipway.contract.problems import Problem

__all__ = ["Findings"]


class Findings:
    """Problems, for which the file is refused, and warnings; each stands here once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, *problems: Problem) -> None:
        """Add problems that are not known yet."""
        self.problems += [problem for problem in dict.fromkeys(problems) if problem not in self.problems]

    def refuse(self, what: str, meaning: str, fix: str) -> None:
        """Add one problem."""
        self.add(Problem(what, meaning, fix))

    def warn(self, what: str, meaning: str, fix: str) -> None:
        """Add one warning that is not known yet."""
        warning = Problem(what, meaning, fix)
        if warning not in self.warnings:
            self.warnings.append(warning)
