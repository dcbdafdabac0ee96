"""What a worker cannot serve of its models, for the log and for GET /ready."""

from __future__ import annotations

import logging

from model.errors import ArtifactError
from model.text import shortened

log = logging.getLogger(__name__)

# Characters of a problem at most: the reason comes after addresses, which may be long.
_MOST = 1_000


class ModelProblems:
    """The problems by model or by reference `NAME@ALIAS`. Each is logged once. Callable from any thread."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._noted: set[str] = set()

    def note(self, ref: str, version: str, failure: Exception) -> None:
        """Keep why something of a model could not be replaced."""
        text = shortened(f"{ref} {version}: {failure}", _MOST)
        self._noted.add(ref)
        if self._texts.get(ref) == text:
            return
        self._texts[ref] = text
        name, _, alias = ref.partition("@")
        log.error(
            "model not replaced",
            extra={"model": name, "alias": alias, "version": version, "reason": str(failure)},
            exc_info=None if isinstance(failure, ArtifactError) else failure,
        )

    def begin(self) -> set[str]:
        """Begin to check a model; returns what will be noted from now on, for `end`."""
        self._noted = set()
        return self._noted

    def end(self, name: str, noted: set[str]) -> None:
        """Forget the problems of a model that were not noted again since `begin`."""
        texts = list(self._texts.items())
        self._texts = {ref: text for ref, text in texts if ref in noted or ref.partition("@")[0] != name}

    def text(self) -> str:
        """All problems as one text; empty without any."""
        return "; ".join(text for _, text in sorted(self._texts.items()))
