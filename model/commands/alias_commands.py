"""The commands `alias set`, `alias delete` and `alias list`, and the group with `alias promote`."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from model.commands.promote_command import add_promote, run_promote
from model.commands.registry_options import add_registry, opened
from model.commands.subcommands import Output, Run, Subcommands
from model.commands.tables import minute, share, short, table
from model.registry.aliases import STABLE, Alias, Target
from model.registry.moves import FOLLOW_S, Move, delete_alias, set_alias

FOLLOW = f"workers follow within {FOLLOW_S} s"


def add_alias_commands(commands: Subcommands) -> None:
    """Add the group `alias`."""
    group = commands.group("alias", "Set, promote, delete and list aliases: which version of a model is served.")
    command = group.add(
        "set",
        "Let an alias name a version. At another version a canary gets no request and a shadow copies none until "
        "--percent and --shadow are given again.",
        "python -m model alias set fashion-mnist candidate 1.3.0 --percent 5",
    )
    _add_name(command)
    command.add_argument("alias", metavar="ALIAS", help=f"such as {STABLE}, which workers serve, or candidate")
    command.add_argument("version", metavar="VERSION", help="a version of the model in the registry")
    command.add_argument(
        "--percent", type=_percent, metavar="P", help="make it a canary that gets P percent of the requests, 0 to 100"
    )
    command.add_argument(
        "--shadow",
        action=argparse.BooleanOptionalAction,
        help="make it a shadow, which scores a copy of each request for comparison",
    )
    add_registry(command)
    add_promote(group)
    command = group.add(
        "delete",
        "Delete an alias. Its version stays.",
        "python -m model alias delete fashion-mnist candidate",
    )
    _add_name(command)
    command.add_argument("alias", metavar="ALIAS", help="the alias")
    command.add_argument("--force", action="store_true", help=f"delete {STABLE} too, without which no worker starts")
    add_registry(command)
    command = group.add("list", "List the aliases of a model.", "python -m model alias list fashion-mnist")
    _add_name(command)
    add_registry(command)


def run_alias(arguments: argparse.Namespace) -> Output:
    """Run a command of the group."""
    return _COMMANDS[arguments.action](arguments)


def move_output(name: str, move: Move) -> Output:
    """The output of a command that changed an alias."""
    before, after = move.before, move.after
    assert after
    ref = f"{name}@{move.alias}"
    moved = f"{ref} names {after.target.version}"
    if before and before.target != after.target:
        moved += f" instead of {before.target.version}"
    lines = [f"{moved}; {FOLLOW}"]
    if after.percent is not None:
        lines.append(f"{ref} is a canary with {after.percent:g} % of the requests")
        if before and before.percent and not after.percent:
            lines.append(f"its {before.percent:g} % ended: alias set with --percent begins again")
    if after.shadow:
        lines.append(f"{ref} is a shadow: it scores a copy of each request")
    elif before and before.shadow:
        lines.append(f"{ref} is no shadow any more")
    if move.alias == STABLE:
        lines += [
            f"{name}@{alias} still gets {found.percent:g} % of the requests, with {found.target.version}"
            for alias, found in sorted(move.aliases.items())
            if alias != STABLE and found.percent
        ]
    return {"model": name, **alias_json(move.alias, after), "before": _target_json(before)}, "\n".join(lines)


def alias_json(alias: str, found: Alias) -> dict[str, Any]:
    """An alias for --json."""
    return {
        "alias": alias,
        "version": found.target.version,
        "digest": found.target.digest,
        "percent": found.percent,
        "shadow": found.shadow,
        "changed_at": found.changed_at,
        "previous": [_json(target) for target in found.previous],
    }


def _set(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        move = set_alias(
            registry, arguments.name, arguments.alias, arguments.version, arguments.percent, arguments.shadow
        )
    return move_output(arguments.name, move)


def _delete(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        move = delete_alias(registry, arguments.name, arguments.alias, arguments.force)
    assert move.before
    version = move.before.target.version
    result = {"model": arguments.name, "alias": arguments.alias, "before": _target_json(move.before)}
    return result, f"{arguments.name}@{arguments.alias} is deleted; it named {version}, which stays"


def _list(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        aliases = registry.aliases(arguments.name)
        if not aliases and not registry.versions(arguments.name):
            raise registry.no_model(arguments.name)
    rows = [
        (
            alias,
            found.target.version,
            short(found.target.digest),
            share(found),
            minute(found.changed_at),
            ", ".join(target.version for target in found.previous),
        )
        for alias, found in sorted(aliases.items())
    ]
    text = table(("alias", "version", "digest", "share", "changed (UTC)", "before"), rows) if rows else ""
    result = {
        "model": arguments.name,
        "aliases": [alias_json(alias, found) for alias, found in sorted(aliases.items())],
    }
    return result, text or f"{arguments.name} has no alias"


def _json(target: Target) -> dict[str, str]:
    return {"version": target.version, "digest": target.digest}


def _target_json(alias: Alias | None) -> dict[str, str] | None:
    return _json(alias.target) if alias else None


def _add_name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the model's name")


def _percent(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 100:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")


_COMMANDS: dict[str, Run] = {"set": _set, "promote": run_promote, "delete": _delete, "list": _list}
