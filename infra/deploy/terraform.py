"""Terraform's commands for a deployment, each with its own workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from infra.deploy.shell import Shell
from infra.deploy.target import Target

# Resources that a build of the image and an upload of an artifact need.
FIRST = (
    "google_artifact_registry_repository.images",
    "google_artifact_registry_repository_iam_member.builder",
    "google_project_iam_member.builder",
    "google_storage_bucket.this",
    "google_storage_bucket_iam_member.builder",
)

FAILED = "Terraform's output above gives the reason. New APIs and grants may need a minute to take effect."

# Placeholder for an image that nothing runs yet.
UNBUILT = "none/yet"


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in infra/. Without a terminal it does not ask for confirmation. Methods raise CommandFailed."""

    shell: Shell
    target: Target

    def init(self) -> None:
        """Run `terraform init`, in the workspace default: with a remote state, init refuses a missing workspace."""
        words = self._words("init", "-input=false", workspace="default")
        self.shell.run(*words, hint="Does the state's bucket (infra/backend.tf) exist, and can the account use it?")

    def apply_first(self) -> None:
        """Create the resources of FIRST and their dependencies."""
        self._change("apply", *(f"-target={each}" for each in FIRST), *self._variables(**self._unbuilt()))

    def apply(self, **variables: str) -> None:
        """Create or update everything."""
        self._change("apply", *self._variables(**variables))

    def plan(self, *flags: str, hint: str, **variables: str) -> None:
        """Print the changes that an apply would make. It takes no lock, so read access to the state suffices."""
        asked = () if self.shell.attended else ("-no-color",)
        words = ("plan", "-input=false", "-lock=false", *asked, *flags, *self._variables(**variables))
        self.shell.run(*self._words(*words), hint=hint)

    def has_first(self) -> bool:
        """Whether the state contains all resources of FIRST. Terraform's state must exist."""
        listed = self.shell.ask(*self._words("state", "list"), hint="Can the account read Terraform's state?")
        return {line.partition("[")[0] for line in listed.splitlines()}.issuperset(FIRST)

    def destroy(self, **variables: str) -> None:
        """Remove everything."""
        self._change("destroy", *self._variables(**variables))

    def outputs(self) -> dict[str, Any]:
        """Terraform's outputs; empty in a dry run."""
        output = self.shell.ask(
            *self._words("output", "-json"), hint="Was this deployment made with this Terraform state?"
        )
        return {name: given["value"] for name, given in json.loads(output or "{}").items()}

    def _unbuilt(self) -> dict[str, str]:
        """The variables of images that are required but not used yet."""
        return {"image": UNBUILT} | ({"page_image": UNBUILT} if self.target.page == "on" else {})

    def _change(self, verb: str, *flags: str) -> None:
        asked = () if self.shell.attended else ("-input=false", "-auto-approve")
        self.shell.run(*self._words(verb, *asked, *flags), hint=FAILED)

    def _words(self, *words: str, workspace: str = "") -> list[str]:
        # In the command itself rather than selected beforehand, so that a copied command uses the same workspace.
        return ["env", f"TF_WORKSPACE={workspace or self.target.workspace}", "terraform", "-chdir=infra", *words]

    def _variables(self, **given: str) -> list[str]:
        """The -var arguments, after the files of variables, because later values override earlier ones."""
        files = [f"-var-file={file}" for file in self.target.tfvars]
        words = {"project_id": self.target.project, "region": self.target.region, "prefix": self.target.prefix}
        named = words | {"compute": self.target.compute} | given
        return [*files, *(f"-var={name}={value}" for name, value in named.items())]
