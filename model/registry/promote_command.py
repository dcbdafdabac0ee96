"""The command `alias promote` of the model's command line."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import Any

from model.errors import RegistryError
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.promotion import MAX_AGE_DAYS, Promotion, promote
from model.registry.registry import Registry

HELP = "Let stable name the version of candidate, if a saved comparison allows it."
EXAMPLE = "python -m model alias promote fashion-mnist --registry gs://models/registry"

_MOST_DAYS = 365.0


def add_promote(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `alias promote` to its parser."""
    command.add_argument("name", metavar="NAME", help="the model's name")
    command.add_argument(
        "alias", metavar="ALIAS", nargs="?", default=CANDIDATE, help="the alias to promote (default: %(default)s)"
    )
    command.add_argument(
        "--to", default=STABLE, metavar="ALIAS", help="the alias that names its version then (default: %(default)s)"
    )
    command.add_argument(
        "--registry", metavar="ADDRESS", help="a folder, or gs://bucket/prefix (default: the variable REGISTRY)"
    )
    command.add_argument(
        "--max-age-days",
        type=_days,
        default=MAX_AGE_DAYS,
        metavar="N",
        help="refuse a comparison that is older (default: %(default)g)",
    )
    command.add_argument("--force", action="store_true", help="promote all the same, and print what is overridden")


def run_promote(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Promote; return the JSON object and the text. Raises RegistryError when it is refused."""
    address = arguments.registry or os.environ.get("REGISTRY", "")
    if not address:
        raise RegistryError("no registry is set: give --registry ADDRESS, or set REGISTRY")
    done = promote(
        Registry.at(address),
        arguments.name,
        arguments.alias,
        arguments.to,
        max_age_days=arguments.max_age_days,
        force=arguments.force,
    )
    return asdict(done), _text(done)


def _text(done: Promotion) -> str:
    before = f", before {done.before.version}" if done.before else ""
    lines = [
        f"{done.name}: {done.to} names {done.after.version} now{before}; {done.alias} gets no requests. Workers follow "
        "within 30 s"
    ]
    if done.overridden:
        lines.append(f"overridden by --force: {done.overridden}")
    elif done.verdict:
        lines.append(f"the comparison of {done.verdict.made_at} says: {done.verdict.verdict}")
    if done.before:
        lines.append(f"to take it back: predictions model rollback {done.name} {done.to}")
    return "\n".join(lines)


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days above 0, at most {_MOST_DAYS:g}")
    return days


_days.__name__ = "number of days"  # argparse says "invalid <name> value"
