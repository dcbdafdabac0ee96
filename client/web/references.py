"""Finds the reference distribution of a model, from which drift is measured."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from client.gcp import UsageError
from client.text import SendError, printable
from client.web.registry import PageRegistry
from model.artifact import SHIPPED
from model.errors import ArtifactError, NotRegistered
from model.text import quoted

if TYPE_CHECKING:
    from model.drift import Reference

_AGAIN_S = 60.0
"""Seconds after which a reference that was not found is looked for again: a version may be pushed meanwhile."""


class References:
    """The references of models by digest: of a registry, or of an artifact's folder. All methods are thread-safe."""

    def __init__(self, registry: str = "", artifact: str = "") -> None:
        self._registry, self._artifact = PageRegistry(registry), artifact or str(SHIPPED)
        self._finding = threading.Lock()
        self._found: dict[str, Reference] = {}
        self._unknown: dict[str, tuple[float, str]] = {}

    def find(self, name: str, version: str, digest: str) -> Reference | str:
        """Return the reference of a model, or a sentence about why there is none."""
        with self._finding:
            if digest in self._found:
                return self._found[digest]
            at, problem = self._unknown.get(digest, (0.0, ""))
            if problem and time.monotonic() - at < _AGAIN_S:
                return problem
            found = self._look(name, version, digest)
            if isinstance(found, str):
                self._unknown[digest] = time.monotonic(), found
            else:
                self._found[digest] = found
            return found

    def _look(self, name: str, version: str, digest: str) -> Reference | str:
        try:
            found = self._in_registry(name, version, digest) if self._registry.address else self._in_folder(digest)
        except (ArtifactError, SendError, UsageError) as exc:
            return printable(str(exc))[:300]
        except ModuleNotFoundError as exc:
            return f"{exc.name} is not installed: pip install {exc.name}"
        return found or (
            f"the reference of {printable(name)} {printable(version)} ({printable(digest)[:19]}) is not known: set "
            "ARTIFACT to the folder of its artifact, or REGISTRY to the registry that has it, and start the page again"
        )

    def _in_registry(self, name: str, version: str, digest: str) -> Reference | None:
        from model.drift import parse_reference
        from model.registry.contents import read_contents

        try:
            with self._registry.opened() as registry:
                found = registry.version(name, version)
                if found.manifest.digest != digest:
                    return None
                return parse_reference(read_contents(registry, found).signature, found.address)
        except NotRegistered:
            return None

    def _in_folder(self, digest: str) -> Reference | None:
        from model.artifact.load import read_artifact
        from model.drift import read_reference

        if "://" in self._artifact:
            raise ArtifactError(
                f"ARTIFACT is {quoted(self._artifact)}, and the page reads references from a folder: set it to "
                "the folder of the artifact, or set REGISTRY"
            )
        folder = Path(self._artifact)
        return read_reference(folder) if read_artifact(folder).digest == digest else None
