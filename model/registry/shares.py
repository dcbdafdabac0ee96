"""What each alias of a model gets of its requests, when one of the aliases is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.registry.aliases import Aliases, Target, canaries, shadows


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one alias. `percent`: of the requests, None for none; `shadow`: it scores copies of them."""

    alias: str
    target: Target
    percent: float | None
    shadow: bool
    is_served: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether a worker loads its version."""
        return self.percent is not None or self.shadow

    def __str__(self) -> str:
        parts = ("served" if self.is_served else "", "" if self.percent is None else f"{self.percent:g} %")
        return ", ".join(filter(None, (*parts, "shadow" if self.shadow else ""))) or "-"


def shares(aliases: Aliases, served: str) -> Iterator[Share]:
    """The shares of all aliases, that of the alias that is served first."""
    split, copied = canaries(aliases, served), shadows(aliases, served)
    for name in sorted(aliases, key=lambda each: (each != served, each)):
        is_served = name == served
        percent = 100 - sum(split.values()) if is_served else split.get(name)
        yield Share(name, aliases[name].target, percent, name in copied, is_served)
