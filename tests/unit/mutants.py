"""Mistakes in infra/, one edit each, that some layer of the check must find: infra_mutants.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.check.terraform import copy_files


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit, and a part of what must be said of it.

    `tests`: by which file of infra/tests; `way`: in which deployment of ways.py, for layers that look at one.
    """

    file: str
    before: str
    after: str
    said: str
    tests: str = "pipeline"
    way: str = "push"

    def written(self, target: Path) -> Path:
        copy_files(target)
        file = target / self.file
        text = file.read_text()
        assert self.before in text, f"{self.file} no longer holds {self.before!r}"
        file.write_text(text.replace(self.before, self.after, 1))
        return target


def mutants(layer: str) -> dict[str, Mutant]:
    content = yaml.safe_load(Path(__file__).with_name("infra_mutants.yaml").read_text())
    return {name: Mutant(**given) for name, given in content[layer].items()}
