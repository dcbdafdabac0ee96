"""What is deployed where: the words that make and Terraform take, and the names that Terraform makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.text import quoted

REGION, COMPUTE = "europe-west1", "push"
"""As infra/variables.tf has them."""

RULES = {
    "PROJECT": (
        "^[a-z][a-z0-9-]{4,28}[a-z0-9]$",
        "a project's id (6 to 30 lower-case letters, digits or hyphens), not its name or number",
    ),
    "REGION": ("^[a-z]+-[a-z]+[0-9]+$", "a region such as europe-west1, not a zone or a multi-region"),
    "PREFIX": ("^([a-z][a-z0-9]{0,10})?$", "up to 11 lower-case letters and digits, a letter first"),
    "COMPUTE": ("^(push|worker|function)$", "push, worker or function"),
}
"""What each takes, as infra/variables.tf says it, and that in words."""

_VARIABLES = {"project_id": "PROJECT", "region": "REGION", "prefix": "PREFIX", "compute": "COMPUTE"}
_ASSIGNMENT = re.compile(r'^(\w+)\s*=\s*"([^"\\]*)"\s*(?:#.*|//.*)?$', re.M)


class Wrong(Exception):
    """A command cannot be run as it was given; the sentence says what to give instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: one project, region and prefix. `tfvars`: a file with everything else. Raises Wrong."""

    project: str
    region: str = REGION
    prefix: str = ""
    compute: str = COMPUTE
    tfvars: Path | None = None

    def __post_init__(self) -> None:
        if not self.project:
            raise Wrong("no project is given: PROJECT=some-project")
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        for name, value in given.items():
            rule, takes = RULES[name]
            # Not search and $: a line break at the end is not allowed either.
            if not re.fullmatch(rule, value):
                raise Wrong(f"{name} is {quoted(value)}; it takes {takes}")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Target:
        """From PROJECT, REGION, PREFIX, COMPUTE and TFVARS; what is not given is as that file says. Raises Wrong."""
        file = Path(given["TFVARS"]).absolute() if given.get("TFVARS") else None
        told = assignments(file) if file else {}
        said = {name: given.get(name) or told.get(variable, "") for variable, name in _VARIABLES.items()}
        return cls(said["PROJECT"], said["REGION"] or REGION, said["PREFIX"], said["COMPUTE"] or COMPUTE, file)

    @property
    def workspace(self) -> str:
        """The name of this deployment's state: two that share one would replace each other.

        Not joined by a hyphen: some-project with the prefix dev is not the project some-project-dev.
        """
        return ".".join(filter(None, (self.project, self.prefix)))

    @property
    def worker_image(self) -> str:
        """The worker's image, without a tag or a digest."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.named('images')}/worker"

    @property
    def builder(self) -> str:
        """Whom Cloud Build is."""
        return f"{self.named('prediction-builder')}@{self.project}.iam.gserviceaccount.com"

    def named(self, name: str) -> str:
        """A name of topology.yaml or Terraform, with the prefix."""
        return f"{self.prefix}-{name}" if self.prefix else name

    def bucket(self, name: str) -> str:
        """A bucket's name, in which the project is: it is shared by the whole world."""
        return f"{self.project}-{self.named(name)}"

    def words(self) -> list[str]:
        """What make is told to come back here: what is not the default."""
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        default = {"REGION": REGION, "PREFIX": "", "COMPUTE": COMPUTE}
        said = [f"{name}={value}" for name, value in given.items() if value != default.get(name)]
        return [*said, *([f"TFVARS={self.tfvars}"] if self.tfvars else [])]


def assignments(file: Path) -> dict[str, str]:
    """The plain strings that a .tfvars file sets, by variable. Raises Wrong."""
    if file.suffix != ".tfvars":
        raise Wrong(f"TFVARS is {quoted(str(file))}; it takes a file whose name ends in .tfvars")
    try:
        return dict(_ASSIGNMENT.findall(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        raise Wrong(f"TFVARS is {quoted(str(file))}; there is no such file that can be read") from None
