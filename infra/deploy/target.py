"""The target of a deployment: the settings of make and Terraform, and the names that Terraform derives from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.project_id import bucket_name, registry, service_account
from model.text import quoted, read_text

# The defaults of infra/variables.tf.
REGION, COMPUTE = "europe-west1", "push"

# The allowed values: the pattern of infra/variables.tf and a description.
RULES = {
    "PROJECT": (
        "^([a-z0-9][a-z0-9.-]*[.][a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$",
        "a project's id (6 to 30 characters of a-z, 0-9 and -, perhaps after a domain as in example.com:shop), "
        "not its name or number",
    ),
    "REGION": ("^[a-z]+-[a-z]+[0-9]+$", "a region such as europe-west1, not a zone or a multi-region"),
    "PREFIX": ("^([a-z][a-z0-9]{0,10})?$", "at most 11 characters of a-z and 0-9, starting with a-z"),
    "COMPUTE": ("^(push|worker|function|kafka)$", "push, worker, function or kafka"),
    "build_pool": (
        "^(projects/[^/]+/locations/[^/]+/workerPools/[^/]+)?$",
        "the full name of a private pool of Cloud Build, projects/P/locations/L/workerPools/N",
    ),
}

# In make's arguments the names are in capitals. build_pool is only in a file.
_VARIABLES = {"project_id": "PROJECT", "region": "REGION", "prefix": "PREFIX", "compute": "COMPUTE"}
_PAGE = re.compile(r"^page\s*=\s*(\w+|\{)", re.M)
_ASSIGNMENT = re.compile(r'^(\w+)\s*=\s*"([^"\\]*)"\s*(?:#.*|//.*)?$', re.M)


class UsageError(Exception):
    """A command cannot run with these arguments; the message says what to pass instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: a project, a region and a prefix. Raises UsageError.

    `tfvars`: files with all other variables; later ones override earlier ones. `build_pool`: where images are built.
    `gpu`: the GPU of each instance, or nothing. `models`: what is served of the registry, NAME or NAME@ALIAS. `page`:
    whether the files set `page`, on or off.
    """

    project: str
    region: str = REGION
    prefix: str = ""
    compute: str = COMPUTE
    tfvars: tuple[Path, ...] = ()
    build_pool: str = ""
    gpu: str = ""
    models: tuple[str, ...] = ()
    page: str = "off"

    def __post_init__(self) -> None:
        if not self.project:
            raise UsageError("the project is missing: PROJECT=some-project")
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        for name, value in {**given, "build_pool": self.build_pool}.items():
            rule, takes = RULES[name]
            # fullmatch, because `$` would accept a trailing line break.
            if not re.fullmatch(rule, value):
                raise UsageError(f"{name} is {quoted(value)}; it must be {takes}")

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Target:
        """Read PROJECT, REGION, PREFIX, COMPUTE and TFVARS; the files supply what is missing. Raises UsageError."""
        files = _files(given.get("TFVARS", ""))
        there: dict[str, str] = {}
        models: tuple[str, ...] = ()
        page = "off"
        for file in files:
            there |= assignments(file)
            models = next(iter(_lists(file, "models")), models)
            page = next(("off" if value == "null" else "on" for value in _PAGE.findall(_text(file))), page)
        project, region, prefix, compute = (
            given.get(name) or there.get(variable, "") for variable, name in _VARIABLES.items()
        )
        return cls(
            *(project, region or REGION, prefix, compute or COMPUTE, files),
            build_pool=there.get("build_pool", ""),
            gpu=there.get("gpu", ""),
            models=models,
            page=page,
        )

    @property
    def workspace(self) -> str:
        """The name of this deployment's Terraform workspace; deployments with the same one would replace each other.

        The parts are not joined by a hyphen: some-project with prefix dev differs from the project some-project-dev.
        """
        return ".".join(filter(None, (self.project, self.prefix)))

    def image(self, name: str) -> str:
        """An image of this deployment, without tag or digest."""
        return f"{registry(self.region, self.project)}/{self.named('images')}/{name}"

    @property
    def builder(self) -> str:
        """The service account of Cloud Build."""
        return service_account(self.named("prediction-builder"), self.project)

    @property
    def build_region(self) -> str:
        """The region of builds: that of `build_pool`, if there is one."""
        return self.build_pool.split("/")[3] if self.build_pool else self.region

    def named(self, name: str) -> str:
        """A name of topology.yaml or Terraform with the prefix."""
        return f"{self.prefix}-{name}" if self.prefix else name

    def bucket(self, name: str) -> str:
        """A bucket's name, which starts with the project's id because bucket names are globally unique."""
        return bucket_name(self.project, self.named(name))

    @property
    def registry(self) -> str:
        """The address of the registry of models, in the models bucket of this deployment."""
        return registry_in(self.bucket("models"))

    def words(self) -> list[str]:
        """The arguments of make for this target, without defaults."""
        given = {"PROJECT": self.project, "REGION": self.region, "PREFIX": self.prefix, "COMPUTE": self.compute}
        default = {"REGION": REGION, "PREFIX": "", "COMPUTE": COMPUTE}
        arguments = [f"{name}={value}" for name, value in given.items() if value != default.get(name)]
        return [*arguments, *([f"TFVARS={','.join(map(str, self.tfvars))}"] if self.tfvars else [])]


def registry_in(bucket: str) -> str:
    """The address of the registry of models in a models bucket."""
    return f"gs://{bucket}/registry"


def _files(given: str) -> tuple[Path, ...]:
    """The files of TFVARS, which are separated by commas."""
    names = given.split(",") if given else []
    if "" in map(str.strip, names):
        raise UsageError(f"TFVARS is {quoted(given)}; it must be files, separated by single commas")
    return tuple(Path(name.strip()).absolute() for name in names)


def assignments(file: Path) -> dict[str, str]:
    """The plain strings that a .tfvars file assigns, by variable. Raises UsageError."""
    return dict(_ASSIGNMENT.findall(_text(file)))


def _lists(file: Path, variable: str) -> list[tuple[str, ...]]:
    """The list of strings that a .tfvars file assigns to a variable: one, or none. Raises UsageError."""
    found = re.findall(rf"^{variable}\s*=\s*\[(.*?)\]", _text(file), re.M | re.S)
    return [tuple(re.findall(r'"([^"]*)"', re.sub(r"(#|//).*", "", given))) for given in found]


def _text(file: Path) -> str:
    if file.suffix != ".tfvars":
        raise UsageError(f"TFVARS is {quoted(str(file))}; it must be a file whose name ends in .tfvars")
    try:
        return read_text(file)
    except (OSError, ValueError):
        raise UsageError(f"TFVARS is {quoted(str(file))}; the file cannot be read") from None
