"""The command `combine`."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.artifact.composition import CASCADE, MEAN, Composition, write_combined
from model.commands.subcommands import Output, Subcommands
from model.registry.names import check_model_name, check_version


def add_combine(commands: Subcommands) -> None:
    """Add the command."""
    command = commands.add(
        "combine",
        "Make one model of several with the same labels: the mean of their scores, or a cascade, in which each model "
        "is asked only where those before it are unsure. The new artifact holds copies of theirs.",
        "python -m model combine small large --below 0.8 --name photos --out build/artifacts/photos",
    )
    command.add_argument("artifacts", type=Path, nargs="+", metavar="ARTIFACT", help="folders of artifacts, in order")
    command.add_argument(
        "--below",
        type=float,
        metavar="SCORE",
        help="a cascade: the next model is asked when the best score is below SCORE (default: the mean of all)",
    )
    command.add_argument("--name", required=True, help="the name of the new model")
    command.add_argument("--version", default="1.0.0", help="its version (default: %(default)s)")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a folder that does not exist")


def run_combine(arguments: argparse.Namespace) -> Output:
    """Run the command."""
    composition = Composition(MEAN if arguments.below is None else CASCADE, arguments.below)
    name, version = check_model_name(arguments.name), check_version(arguments.version)
    made = write_combined(arguments.out, name, version, composition, arguments.artifacts)
    members = [f"{member.name} {member.version}" for member in made.members]
    found = {
        "out": str(arguments.out),
        "name": name,
        "version": version,
        "digest": made.digest,
        "kind": composition.kind,
        "threshold": composition.threshold,
        "members": members,
        "engines": list(made.engines),
    }
    how = "the mean of" if composition.threshold is None else f"a cascade, below {composition.threshold:g}, of"
    return found, f"{arguments.out} holds {name} {version}: {how} {', '.join(members)}"
