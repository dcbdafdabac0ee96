"""Terraform's commands for one deployment, each in a workspace of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from infra.deploy.shell import Shell
from infra.deploy.target import Target

FIRST = (
    "google_artifact_registry_repository.images",
    "google_artifact_registry_repository_iam_member.builder",
    "google_project_iam_member.builder",
    "google_storage_bucket.this",
    "google_storage_bucket_iam_member.builder",
)
"""What must be there before an image can be built and an artifact uploaded."""

_FAILED = "What Terraform said above tells why. Interfaces and grants that are new may need a minute."

UNBUILT = "none/yet"
"""An image, as far as a variable must name one where nothing runs it."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in infra/. Where nobody is to be asked it is told to go on. Methods raise Stopped."""

    shell: Shell
    target: Target

    def init(self) -> None:
        """Make the folder ready. Where a bucket keeps the state, init refuses a workspace that is not there yet."""
        words = self._words("init", "-input=false", workspace="default")
        self.shell.run(*words, otherwise="Is the state's bucket (infra/backend.tf) there and yours?")

    def apply_first(self) -> None:
        """Make what FIRST names, and what that needs."""
        self._change("apply", *(f"-target={each}" for each in FIRST), *self._variables(image=UNBUILT))

    def apply(self, **variables: str) -> None:
        """Make everything."""
        self._change("apply", *self._variables(**variables))

    def destroy(self, **variables: str) -> None:
        """Remove everything."""
        self._change("destroy", *self._variables(**variables))

    def outputs(self) -> dict[str, Any]:
        """What Terraform says about what it made; nothing in a dry run."""
        said = self.shell.ask(*self._words("output", "-json"), otherwise="Has this deployment been made from here?")
        return {name: given["value"] for name, given in json.loads(said or "{}").items()}

    def _change(self, verb: str, *flags: str) -> None:
        asked = () if self.shell.attended else ("-input=false", "-auto-approve")
        self.shell.run(*self._words(verb, *asked, *flags), otherwise=_FAILED)

    def _words(self, *words: str, workspace: str = "") -> list[str]:
        # In the command itself, not selected beforehand: what is pasted later must meet the same state.
        return ["env", f"TF_WORKSPACE={workspace or self.target.workspace}", "terraform", "-chdir=infra", *words]

    def _variables(self, **given: str) -> list[str]:
        """The file first: what stands after it wins."""
        file = [f"-var-file={self.target.tfvars}"] if self.target.tfvars else []
        words = {"project_id": self.target.project, "region": self.target.region, "prefix": self.target.prefix}
        named = words | {"compute": self.target.compute} | given
        return [*file, *(f"-var={name}={value}" for name, value in named.items())]
