"""The command `alias promote`: stable names the version of candidate, if a saved comparison allows it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from model.commands.registry_options import add_registry, opened, same_registry
from model.commands.subcommands import Output, Subcommands
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.moves import FOLLOW_S
from model.registry.promotion import MAX_AGE_DAYS, Promotion, promote

_MOST_DAYS = 365.0


def add_promote(group: Subcommands) -> None:
    """Add the command to the group `alias`."""
    command = group.add(
        "promote",
        f"Let {STABLE} name the version of {CANDIDATE}. Refused unless the registry has a comparison of exactly these "
        "two that says better or no worse: predictions compare --save.",
        "python -m model alias promote fashion-mnist",
    )
    command.add_argument("name", metavar="NAME", help="the model's name")
    command.add_argument(
        "alias", metavar="ALIAS", nargs="?", default=CANDIDATE, help="the alias to promote (default: %(default)s)"
    )
    command.add_argument(
        "--to", default=STABLE, metavar="ALIAS", help="the alias that names its version then (default: %(default)s)"
    )
    command.add_argument(
        "--max-age-days",
        type=_days,
        default=MAX_AGE_DAYS,
        metavar="N",
        help="refuse a comparison that is older (default: %(default)g)",
    )
    command.add_argument("--force", action="store_true", help="promote anyway, and print what is overridden")
    add_registry(command)


def run_promote(arguments: argparse.Namespace) -> Output:
    """Promote. Raises RegistryError when it is refused."""
    with opened(arguments) as registry:
        done = promote(
            registry,
            arguments.name,
            arguments.alias,
            arguments.to,
            max_age_days=arguments.max_age_days,
            force=arguments.force,
        )
    return asdict(done), _text(done, same_registry(arguments))


def _text(done: Promotion, registry: str) -> str:
    before = f" instead of {done.before.version}" if done.before else ""
    lines = [f"{done.name}@{done.to} names {done.after.version}{before}; workers follow within {FOLLOW_S} s"]
    if done.overridden:
        lines.append(f"overridden by --force: {done.overridden}")
    elif done.verdict:
        lines.append(f"the comparison of {done.verdict.made_at} says {done.verdict.verdict}")
    lines.append(f"{done.name}@{done.alias} gets no request and copies none until that is set again")
    if done.before:
        lines.append(f"to go back: predictions model rollback {done.name} {done.to}{registry}")
    return "\n".join(lines)


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days above 0, at most {_MOST_DAYS:g}")
    return days


_days.__name__ = "number of days"  # argparse says "invalid <name> value"
