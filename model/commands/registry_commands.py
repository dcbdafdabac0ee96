"""The commands push, list, show, diff, rollback and gc."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from model.commands.alias_commands import add_alias_commands, move_output, run_alias
from model.commands.contents_text import diff_text, show_json, show_text
from model.commands.registry_options import add_registry, opened, same_registry
from model.commands.subcommands import Output, Run, Subcommands
from model.commands.tables import share, short, table
from model.errors import RegistryError
from model.registry.aliases import CANDIDATE, STABLE, Aliases
from model.registry.contents import Contents, compare, read_contents
from model.registry.garbage import Garbage, delete_garbage, find_garbage
from model.registry.listing import Listed, list_versions
from model.registry.moves import roll_back
from model.registry.names import check_model_name, parse_ref
from model.registry.registry import Registry
from model.text import printable, size_text

_LARGE = 10_000_000
"""Bytes from which on an upload of a file is announced."""


def add_registry_commands(commands: Subcommands) -> None:
    """Add the commands for a registry."""
    push = commands.add(
        "push",
        "Add an artifact to the registry as a version, which never changes. A push that was interrupted goes on.",
        "python -m model push build/artifacts/photos --version 1.1.0",
    )
    push.add_argument("artifact", type=Path, metavar="ARTIFACT", help="the artifact's folder")
    push.add_argument("--name", default="", help="the model's name in the registry (default: the artifact's)")
    push.add_argument("--version", default="", help="the version in the registry (default: the artifact's)")
    listed = commands.add(
        "list", "List models, their versions, newest first, and aliases.", "python -m model list fashion-mnist"
    )
    listed.add_argument("name", metavar="NAME", nargs="?", default="", help="one model (default: all)")
    show = commands.add("show", "Show what a version holds.", "python -m model show fashion-mnist@stable")
    show.add_argument("ref", metavar="NAME[@ALIAS|@VERSION]", help=f"a version (default: the alias {STABLE})")
    diff = commands.add(
        "diff",
        "Compare two versions: labels, preprocessing, engines, files, scores of the golden images.",
        "python -m model diff fashion-mnist@stable fashion-mnist@1.3.0",
    )
    diff.add_argument("old", metavar="A", help="NAME[@ALIAS|@VERSION]")
    diff.add_argument("new", metavar="B", help="NAME[@ALIAS|@VERSION]")
    rollback = commands.add(
        "rollback",
        "Let an alias name the version that it named before. Nothing is built or deployed.",
        "python -m model rollback fashion-mnist",
    )
    rollback.add_argument("name", metavar="NAME", help="the model's name")
    rollback.add_argument("alias", metavar="ALIAS", nargs="?", default=STABLE, help="default: %(default)s")
    rollback.add_argument("--to", metavar="VERSION", default="", help="an earlier one of its versions")
    gc = commands.add(
        "gc",
        "Delete versions that no alias names or can be rolled back to, and pushes that were not completed.",
        "python -m model gc fashion-mnist --keep 3 --dry-run",
    )
    gc.add_argument("name", metavar="NAME", help="the model's name")
    gc.add_argument(
        "--keep", type=_whole, default=5, metavar="N", help="also keep the newest N versions (default: %(default)s)"
    )
    gc.add_argument(
        "--days",
        type=_days,
        default=1.0,
        metavar="D",
        help="also keep versions whose last file is younger than D days: they may be being pushed (default: 1)",
    )
    gc.add_argument("--dry-run", action="store_true", help="show what would be deleted")
    gc.add_argument("--yes", action="store_true", help="do not ask")
    for command in (push, listed, show, diff, rollback, gc):
        add_registry(command)
    add_alias_commands(commands)


def _push(arguments: argparse.Namespace) -> Output:
    def uploading(file: str, size: int) -> None:
        if size >= _LARGE:
            print(f"model push: {printable(file)}, {size_text(size)}", file=sys.stderr, flush=True)

    with opened(arguments) as registry:
        pushed = registry.push(arguments.artifact, arguments.name, arguments.version, uploading)
    target = pushed.target
    result = {"model": pushed.name, "version": target.version, "digest": target.digest, "address": pushed.address}
    text = f"""{pushed.address}: {target.digest}
no alias has changed, and so no prediction; to name the version:
  predictions model alias set {pushed.name} {CANDIDATE} {target.version}{same_registry(arguments)}"""
    return result, text


def _list(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        names = [check_model_name(arguments.name)] if arguments.name else registry.names()
        found = [(name, list_versions(registry, name), registry.aliases(name)) for name in names]
        if arguments.name and not found[0][1]:
            raise registry.no_model(arguments.name)
    result = [
        {"model": name, "versions": [_version_json(name, each, aliases) for each in versions]}
        for name, versions, aliases in found
    ]
    return result, "\n\n".join(_model_text(*each) for each in found) or "the registry has no model"


def _model_text(name: str, versions: list[Listed], aliases: Aliases) -> str:
    rows = [
        (
            each.version,
            short(each.manifest.digest) if each.manifest else "not usable",
            ", ".join(each.manifest.engines) if each.manifest else "",
            size_text(each.size),
            f"{each.pushed_at:%Y-%m-%d}",
            ", ".join(_named(each.version, aliases)),
        )
        for each in versions
    ]
    lines = [name, table(("version", "digest", "engines", "size", "pushed", "aliases"), rows, "  ")]
    lines += [f"  {each.problem}" for each in versions if each.problem]
    return "\n".join(lines)


def _named(version: str, aliases: Aliases) -> list[str]:
    """The aliases of a version, each with its share."""
    return [
        " ".join(filter(None, [name, share(alias)]))
        for name, alias in sorted(aliases.items())
        if alias.target.version == version
    ]


def _version_json(name: str, listed: Listed, aliases: Aliases) -> dict[str, Any]:
    manifest = listed.manifest
    return {
        "version": listed.version,
        "digest": manifest.digest if manifest else None,
        "engines": list(manifest.engines) if manifest else [],
        "size": listed.size,
        "pushed_at": listed.pushed_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "aliases": [alias for alias, found in sorted(aliases.items()) if found.target.version == listed.version],
        "problem": listed.problem or None,
    }


def _show(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        contents = _contents(registry, arguments.ref)
        aliases = registry.aliases(contents.version.name)
    named = _named(contents.version.manifest.version, aliases)
    return show_json(contents, named), show_text(contents, named)


def _diff(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        old, new = _contents(registry, arguments.old), _contents(registry, arguments.new)
    found = compare(old, new)
    sides = [
        {"model": each.version.name, "version": each.version.target.version, "digest": each.version.target.digest}
        for each in (old, new)
    ]
    return {"from": sides[0], "to": sides[1], **found}, diff_text(old, new, found)


def _contents(registry: Registry, text: str) -> Contents:
    ref = parse_ref(text)
    target = registry.target(ref)
    version = registry.version(ref.name, target.version)
    if version.target != target:
        raise RegistryError(f"{ref} names {target.version} with another digest than {version.address} has")
    return read_contents(registry, version)


def _rollback(arguments: argparse.Namespace) -> Output:
    with opened(arguments) as registry:
        move = roll_back(registry, arguments.name, arguments.alias, arguments.to)
    return move_output(arguments.name, move)


def _gc(arguments: argparse.Namespace) -> Output:
    name = arguments.name
    with opened(arguments) as registry:
        found = find_garbage(registry, name, arguments.keep, timedelta(days=arguments.days))
        if not found and not registry.versions(name):
            raise registry.no_model(name)
        result: dict[str, Any] = {"model": name, "found": [_garbage_json(each) for each in found], "deleted": []}
        if not found:
            return result, f"{name} has no version to delete; {_kept(arguments)} stay too"
        listed = table(
            ("version", "size", "why"), [(each.version, size_text(each.size), each.reason) for each in found]
        )
        if arguments.dry_run:
            return result, f"{listed}\nnothing is deleted (--dry-run)"
        if not arguments.yes:
            _ask(listed, f"delete {_versions(len(found))} of {name} in {registry.address}?")
        done = delete_garbage(registry, name, found)
    freed = sum(each.size for each in found if each.version in done.deleted)
    lines = [f"{name}: {_versions(len(done.deleted))} deleted, {size_text(freed)}"]
    lines += [f"{version} stays: it changed, or an alias names it now" for version in done.kept]
    return result | {"deleted": done.deleted, "kept": done.kept}, "\n".join(lines)


def _kept(arguments: argparse.Namespace) -> str:
    """The versions that stay although no alias needs them."""
    newest = f"the newest {arguments.keep} (--keep)"
    return (
        f"{newest}, and what was pushed in the last {24 * arguments.days:g} hours (--days)"
        if arguments.days
        else newest
    )


def _ask(listed: str, question: str) -> None:
    """Raise RegistryError unless a person agrees."""
    if not sys.stdin.isatty():
        raise RegistryError("versions would be deleted, and nobody can be asked here: give --yes, or --dry-run")
    print(f"{listed}\n{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RegistryError("nothing is deleted")


def _garbage_json(garbage: Garbage) -> dict[str, Any]:
    return {"version": garbage.version, "size": garbage.size, "reason": garbage.reason}


def _versions(number: int) -> str:
    return f"{number} version{'s' * (number != 1)}"


def _whole(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to 1,000,000")
    return number


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days <= 36_500:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 0 to 36,500")
    return days


_whole.__name__, _days.__name__ = "whole number", "number"  # argparse says "invalid <name> value"

REGISTRY_COMMANDS: dict[str, Run] = {
    "push": _push,
    "list": _list,
    "show": _show,
    "diff": _diff,
    "rollback": _rollback,
    "gc": _gc,
    "alias": run_alias,
}
