"""Promotion: one write lets `stable` name the version of `candidate`, if a saved verdict says that it may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from model.errors import RegistryError
from model.registry.aliases import CANDIDATE, STABLE, Alias, Target
from model.registry.names import check_alias
from model.registry.registry import Registry, now
from model.registry.verdicts import Verdict, find_verdict
from model.text import quoted

MAX_AGE_DAYS = 7.0
"""Days for which a verdict allows a promotion: images change, and with them what a comparison would say."""

_AGAINST = "beyond: ", "open: "
"""How the reasons of a verdict begin that speak against the candidate. Others say what is within its threshold."""

_CLOCKS = timedelta(minutes=5)
"""The largest difference between the clocks of two machines that is no error."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion did. `before`: the version that `to` named, None when it named none.

    `overridden`: why the promotion would have been refused without force; "" when it was allowed.
    """

    name: str
    alias: str
    to: str
    before: Target | None
    after: Target
    verdict: Verdict | None
    overridden: str


def promote(
    registry: Registry,
    name: str,
    alias: str = CANDIDATE,
    to: str = STABLE,
    *,
    max_age_days: float = MAX_AGE_DAYS,
    force: bool = False,
) -> Promotion:
    """Let the alias `to` name the version that `alias` names, in one write; `alias` then gets no requests.

    The version that `to` named is kept for a rollback. Raises RegistryError unless the registry has a verdict on
    exactly these two digests that is at most `max_age_days` old and allows it; `force` overrides that.
    """
    if check_alias(alias) == check_alias(to):
        raise RegistryError(f"{alias} cannot be promoted to itself; name another alias with --to")
    done: list[Promotion] = []

    def edit(aliases: dict[str, Alias]) -> dict[str, Alias]:
        if alias not in aliases:
            raise registry.no_alias(name, alias, aliases)
        candidate, served = aliases[alias], aliases.get(to)
        if served and served.target.digest == candidate.target.digest:
            raise RegistryError(
                f"{to} of {name} names {served.target.version} already, with the digest of {alias}: there is nothing "
                "to promote"
            )
        if registry.version(name, candidate.target.version).target != candidate.target:
            raise RegistryError(f"{alias} of {name} names {candidate.target.version} with another digest; set it again")
        verdict, why = _judged(registry, name, to, served, candidate.target, max_age_days)
        if why and not force:
            raise RegistryError(f"{alias} of {name} is not promoted (--force promotes it anyway): {why}")
        at = now()
        done[:] = [Promotion(name, alias, to, served.target if served else None, candidate.target, verdict, why)]
        percent = None if candidate.percent is None else 0.0
        return aliases | {
            to: served.moved(candidate.target, at) if served else Alias(candidate.target, changed_at=at),
            alias: replace(candidate, percent=percent, shadow=False, changed_at=at),
        }

    registry.edit_aliases(name, (alias, to), edit)
    return done[0]


def _judged(
    registry: Registry, name: str, to: str, served: Alias | None, candidate: Target, max_age_days: float
) -> tuple[Verdict | None, str]:
    """The verdict on a promotion, and why it does not allow it; "" when it does."""
    if served is None:
        return None, f"{name} has no alias {to}, so that nothing was compared; alias set names the first version"
    try:
        verdict = find_verdict(registry, name, served.target, candidate)
    except RegistryError as exc:
        return None, str(exc)
    return verdict, objection(verdict, served.target, candidate, max_age_days, datetime.now(UTC))


def objection(verdict: Verdict | None, served: Target, candidate: Target, max_age_days: float, at: datetime) -> str:
    """Why a verdict does not allow a promotion at the time `at`; "" when it does."""
    if verdict is None:
        return (
            f"no comparison of {served.version} with {candidate.version} is saved; run predictions compare with "
            "--registry and --save"
        )
    age = at - verdict.made
    if age < -_CLOCKS:
        return f"its comparison is of {verdict.made_at}, which is in the future; check the clocks and compare again"
    if age > timedelta(days=max_age_days):
        return (
            f"its comparison of {verdict.made_at} is {age / timedelta(days=1):.1f} days old; at most {max_age_days:g} "
            "are allowed: compare again"
        )
    if not verdict.may_be_promoted:
        why = [reason for reason in verdict.reasons if reason.startswith(_AGAINST)] or verdict.reasons
        return f"the comparison of {verdict.made_at} says {quoted(verdict.verdict)[1:-1]}: {'; '.join(why)}"
    return ""
