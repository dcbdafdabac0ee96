"""Mistakes in infra/, one edit each, that a layer of the check must find: infra_mutants.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.check.terraform import copy_files

_RUN = re.compile(r'^run "(?P<name>\w+)" \{\n.*?^\}\n', re.M | re.S)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit, and a part of what must be said of it.

    `tests`: by which file of infra/tests, and `run`, by which run there: without it, those that have the words;
    `way`: in which deployment of scenarios.py, for layers that look at one; `later`: what it is then changed into.
    """

    file: str
    before: str
    after: str
    said: str
    tests: str = "pipeline"
    run: str = ""
    way: str = "push"
    later: str = ""

    def written(self, target: Path) -> Path:
        copy_files(target)
        file = target / self.file
        text = file.read_text()
        assert self.before in text, f"{self.file} no longer holds {self.before!r}"
        file.write_text(text.replace(self.before, self.after, 1))
        return target

    def narrowed(self, target: Path) -> Path:
        """Like `written`, with only the runs that must find the mistake and the runs that they depend on."""
        file = self.written(target) / "tests" / f"{self.tests}.tftest.hcl"
        text = file.read_text()
        runs = {found["name"]: found[0] for found in _RUN.finditer(text)}
        wanted = {name for name, body in runs.items() if (name == self.run if self.run else self.said in body)}
        assert wanted, f"no run of {file.name} says {self.said!r}: name one"
        wanted |= {name for name in runs if any(f"run.{name}." in runs[each] for each in wanted)}
        file.write_text(_RUN.sub(lambda found: found[0] if found["name"] in wanted else "", text))
        return target


def mutants(layer: str) -> dict[str, Mutant]:
    content = yaml.safe_load(Path(__file__).with_name("infra_mutants.yaml").read_text())
    return {name: Mutant(**given) for name, given in content[layer].items()}
