"""The existing deployment, from Terraform's outputs: a later command must not change its fixed settings by omission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.deploy.target import Target, UsageError, registry_in

_WHY = {
    "region": "buckets and images cannot move and would be created again, empty; use another PREFIX for another region",
    "compute": "only `make deploy` may change it",
    "models": "only `make deploy` may change it; give the same TFVARS",
    "page": "only `make deploy` may change it; give the same TFVARS",
}


@dataclass(frozen=True, slots=True)
class ExistingDeployment:
    """Terraform's outputs; empty when nothing is deployed, or in a dry run."""

    outputs: Mapping[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether a deployment succeeded before; its first stage alone does not count."""
        return bool(self._deployed)

    @property
    def has_registry(self) -> bool:
        """Whether there is a registry for images."""
        return bool(self.outputs.get("images"))

    @property
    def image(self) -> str:
        """The image that runs; empty when none does."""
        return self.outputs.get("image") or ""

    @property
    def models(self) -> list[str]:
        """What is served of the registry, NAME or NAME@ALIAS; nothing when an artifact is served."""
        return self._deployed.get("models") or []

    def artifact(self, target: Target) -> dict[str, str]:
        """The variable that names the served artifact, unless it is the image's own, or the target has models."""
        prefix = self._deployed.get("artifact_prefix")
        return {"artifact_prefix": prefix} if prefix and not target.models else {}

    def page(self, target: Target) -> dict[str, str]:
        """The variable that names the image of the page that runs, unless the target has no page."""
        running = self.outputs.get("page_image")
        return {"page_image": running} if running and target.page == "on" else {}

    def bucket(self, target: Target, name: str) -> str:
        """A bucket of topology.yaml, which may be brought; when nothing is deployed, the name that it would get."""
        return (self.outputs.get("buckets") or {}).get(name) or target.bucket(name)

    def registry(self, target: Target) -> str:
        """The address of the registry of models."""
        return registry_in(self.bucket(target, "models"))

    def topic(self, target: Target, name: str) -> str:
        """The full name of a topic of topology.yaml, as `bucket`."""
        full = f"projects/{target.project}/topics/{target.named(name)}"
        return (self.outputs.get("topics") or {}).get(name) or full

    def build_bucket(self, target: Target) -> str:
        """The bucket of sources and artifacts, which is known after the first stage."""
        return self._build.get("bucket") or target.bucket("models")

    def builder(self, target: Target) -> str:
        """The service account of Cloud Build, which is known after the first stage."""
        return self._build.get("service_account") or target.builder

    def check(self, target: Target, *fixed: str) -> None:
        """Check that these settings of the target equal the deployed ones. Raises UsageError, which names the value."""
        for name in fixed:
            given, there = _text(getattr(target, name)), self._deployed.get(name)
            if there is not None and _text(there) != given:
                setting = name if name in ("models", "page") else name.upper()
                there = _text(there)
                raise UsageError(
                    f"{setting} is {given}, but {target.workspace} is deployed with {setting}={there}: {_WHY[name]}"
                )

    @property
    def _build(self) -> Mapping[str, str]:
        return self.outputs.get("build") or {}

    @property
    def _deployed(self) -> Mapping[str, Any]:
        return self.outputs.get("deployed") or {}


def _text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ",".join(value) or "empty"
