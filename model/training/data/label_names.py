"""Finds the model's label for the name of a class, and labels with similar names for a name that is unknown."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence

from model.text import quoted

# Similar labels that a message shows.
_NEAR = 10


class LabelNames:
    """The labels of a model, found by name: exactly, or else without regard to case, `_` and spaces.

    A name that fits several labels in the second way finds none of them.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = set(labels)
        self._alike: dict[str, list[str]] = defaultdict(list)
        for label in labels:
            self._alike[_plain(label)].append(label)

    def find(self, name: str) -> str | None:
        """The label of this name, None when there is none or the name is ambiguous."""
        if name in self._labels:
            return name
        alike = self._alike.get(_plain(name), [])
        return alike[0] if len(alike) == 1 else None

    def near(self, name: str) -> str:
        """The labels that are most like an unknown name, as a sentence: at most ten."""
        close = difflib.get_close_matches(_plain(name), self._alike, _NEAR, 0.6)
        # A word of the name may be a label or begin one: `tabby` for `tabby, tabby cat`.
        within = [plain for plain in self._alike if plain.startswith(_plain(name)) or _plain(name).startswith(plain)]
        found = [label for plain in dict.fromkeys([*close, *within]) for label in self._alike[plain]][:_NEAR]
        if found:
            return f"similar labels are {', '.join(map(quoted, found))}"
        if len(self._labels) <= _NEAR:
            return f"its labels are {', '.join(quoted(label) for labels in self._alike.values() for label in labels)}"
        return f"none of its {len(self._labels):,} labels is similar"


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
