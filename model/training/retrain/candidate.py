"""Lets the alias `candidate` name a new version."""

from __future__ import annotations

from model.registry.aliases import CANDIDATE, Alias, Target
from model.registry.registry import Registry, now


def set_candidate(registry: Registry, name: str, target: Target) -> tuple[bool, str]:
    """Let the alias `candidate` name a version, at 0 % of the requests; returns whether it does, and says so.

    A candidate that gets requests is left alone, because a comparison is going on. So is one that has moved on from
    the version since an earlier attempt at the request.
    """
    said = ""

    def edit(aliases: dict[str, Alias]) -> dict[str, Alias]:
        nonlocal said
        said = f"{CANDIDATE} names {name} {target.version} and gets no request yet"
        before = aliases.get(CANDIDATE)
        if before and target in (before.target, *before.previous):
            if before.target != target:
                said = f"{CANDIDATE} is not set: it named {target.version} before and {before.target.version} now"
            return aliases
        if before and before.percent:
            said = (
                f"{CANDIDATE} is not set: it names {before.target.version}, which gets {before.percent:g} % of the "
                f"requests; end that comparison first, then predictions model alias set {name} {CANDIDATE} "
                f"{target.version} --percent 0"
            )
            return aliases
        moved = before.moved(target, now()) if before else Alias(target, changed_at=now())
        return aliases | {CANDIDATE: Alias(moved.target, 0.0, changed_at=moved.changed_at, previous=moved.previous)}

    edited = registry.edit_aliases(name, (CANDIDATE,), edit)
    return edited[CANDIDATE].target == target, said
