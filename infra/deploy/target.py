"""The target of a deployment: the settings of make and Terraform, and the names that Terraform derives from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.text import quoted, read_text

# The defaults of infra/variables.tf.
REGION, COMPUTE = "europe-west1", "push"

# The allowed values: the pattern of infra/variables.tf and a description.
RULES = {
    "PROJECT": (
        "^[a-z][a-z0-9-]{4,28}[a-z0-9]$",
        "a project's id (6 to 30 characters of a-z, 0-9 and -), not its name or number",
    ),
    "REGION": ("^[a-z]+-[a-z]+[0-9]+$", "a region such as europe-west1, not a zone or a multi-region"),
    "PREFIX": ("^([a-z][a-z0-9]{0,10})?$", "at most 11 characters of a-z and 0-9, starting with a-z"),
    "COMPUTE": ("^(push|worker|function)$", "push, worker or function"),
}

_VARIABLES = {"project_id": "PROJECT", "region": "REGION", "prefix": "PREFIX", "compute": "COMPUTE"}
_ASSIGNMENT = re.compile(r'^(\w+)\s*=\s*"([^"\\]*)"\s*(?:#.*|//.*)?$', re.M)


class UsageError(Exception):
    """A command cannot run with these arguments; the message says what to pass instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: a project, a region and a prefix. `tfvars`: a file with all other variables. Raises UsageError."""

    project: str
    region: str = REGION
    prefix: str = ""
    compute: str = COMPUTE
    tfvars: Path | None = None

    def __post_init__(self) -> None:
        if not self.project:
            raise UsageError("the project is missing: PROJECT=some-project")
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        for name, value in given.items():
            rule, takes = RULES[name]
            # fullmatch, because `$` would accept a trailing line break.
            if not re.fullmatch(rule, value):
                raise UsageError(f"{name} is {quoted(value)}; it must be {takes}")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Target:
        """Read PROJECT, REGION, PREFIX, COMPUTE and TFVARS; the file supplies what is missing. Raises UsageError."""
        file = Path(given["TFVARS"]).absolute() if given.get("TFVARS") else None
        defaults = assignments(file) if file else {}
        values = {name: given.get(name) or defaults.get(variable, "") for variable, name in _VARIABLES.items()}
        return cls(values["PROJECT"], values["REGION"] or REGION, values["PREFIX"], values["COMPUTE"] or COMPUTE, file)

    @property
    def workspace(self) -> str:
        """The name of this deployment's Terraform workspace; deployments with the same one would replace each other.

        The parts are not joined by a hyphen: some-project with prefix dev differs from the project some-project-dev.
        """
        return ".".join(filter(None, (self.project, self.prefix)))

    @property
    def worker_image(self) -> str:
        """The worker's image, without tag or digest."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.named('images')}/worker"

    @property
    def builder(self) -> str:
        """The service account of Cloud Build."""
        return f"{self.named('prediction-builder')}@{self.project}.iam.gserviceaccount.com"

    def named(self, name: str) -> str:
        """A name of topology.yaml or Terraform with the prefix."""
        return f"{self.prefix}-{name}" if self.prefix else name

    def bucket(self, name: str) -> str:
        """A bucket's name, which starts with the project's id because bucket names are globally unique."""
        return f"{self.project}-{self.named(name)}"

    def words(self) -> list[str]:
        """The arguments of make for this target, without defaults."""
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        default = {"REGION": REGION, "PREFIX": "", "COMPUTE": COMPUTE}
        arguments = [f"{name}={value}" for name, value in given.items() if value != default.get(name)]
        return [*arguments, *([f"TFVARS={self.tfvars}"] if self.tfvars else [])]


def assignments(file: Path) -> dict[str, str]:
    """The plain strings that a .tfvars file assigns, by variable. Raises UsageError."""
    if file.suffix != ".tfvars":
        raise UsageError(f"TFVARS is {quoted(str(file))}; it must be a file whose name ends in .tfvars")
    try:
        return dict(_ASSIGNMENT.findall(read_text(file)))
    except (OSError, ValueError):
        raise UsageError(f"TFVARS is {quoted(str(file))}; the file cannot be read") from None
