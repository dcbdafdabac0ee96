"""What stands already, as Terraform's outputs tell it: a later command may not change it by forgetting a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.deploy.target import Target, Wrong

_WHY = {
    "region": "buckets and images cannot move, and would be made anew, empty; for another region give another PREFIX",
    "compute": "only `make deploy` switches it",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Terraform's outputs; none where nothing is deployed yet, or in a dry run."""

    outputs: Mapping[str, Any]

    @property
    def image(self) -> str:
        """The image that runs; empty where none does."""
        return self.outputs.get("image") or ""

    @property
    def place(self) -> dict[str, str]:
        """The variable that names the model that is served, where it is not the image's own."""
        prefix = self._deployed.get("artifact_prefix")
        return {"artifact_prefix": prefix} if prefix else {}

    def check(self, target: Target, *fixed: str) -> None:
        """See that these words of the target are what stands. Raises Wrong, which says what to give."""
        for name in fixed:
            given, there = getattr(target, name), self._deployed.get(name)
            if there not in (None, given):
                word = name.upper()
                raise Wrong(f"{word} is {given}, but {target.workspace} stands with {word}={there}: {_WHY[name]}")

    @property
    def _deployed(self) -> Mapping[str, str | None]:
        return self.outputs.get("deployed") or {}
