"""What the registry says about a canary: which versions are compared, and the verdict that is saved on them."""

from __future__ import annotations

from client.verdicts.samples import Chosen, ModelId
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.names import ModelRef
from model.registry.registry import Registry
from model.registry.verdicts import Verdict, find_verdict


def completed(registry: Registry, ref: ModelRef, chosen: Chosen) -> Chosen:
    """The two models of a canary: those that are chosen, else those that the aliases name. Raises RegistryError."""
    return Chosen(
        chosen.stable or registry.target(ModelRef(ref.name, STABLE)).digest,
        chosen.candidate or registry.target(ModelRef(ref.name, ref.alias or CANDIDATE)).digest,
    )


def saved_verdict(registry: Registry, models: tuple[ModelId, ModelId]) -> Verdict | None:
    """The verdict that is saved on two models, the stable one first; None without one. Raises RegistryError."""
    stable, candidate = (Target(each.version, each.digest) for each in models)
    return find_verdict(registry, models[0].name, stable, candidate)
