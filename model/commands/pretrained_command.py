"""The command `pretrained`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from model.commands.registry_options import add_registry, opened
from model.commands.subcommands import Output, Subcommands


def add_pretrained(commands: Subcommands) -> None:
    """Add the command."""
    command = commands.add(
        "pretrained",
        "Import three models that were trained on ImageNet, and push them to a registry as stable: MobileNetV2, "
        "EfficientNet-Lite0, and MobileNet v1 of width 0.75. Those that the registry has are left as they are.",
        "python -m model pretrained weights --registry build/pretrained",
    )
    command.add_argument("weights", type=Path, metavar="FOLDER", help="the folder with the files of their weights")
    add_registry(command)


def run_pretrained(arguments: argparse.Namespace) -> Output:
    """Run the command."""
    from model.training.importing.pretrained import NAMES, import_pretrained

    with opened(arguments) as registry:
        added = list(import_pretrained(arguments.weights, registry))
        address = registry.address
    result = {"registry": address, "models": list(NAMES), "added": added}
    lines = [f"{name:<20} {'added' if name in added else 'was there'}" for name in NAMES]
    serve = f"REGISTRY={shlex.quote(address)} MODELS={','.join(NAMES)}"
    return result, "\n".join((*lines, "serve them on this machine with:", f"  {serve} make up"))
