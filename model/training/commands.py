"""The commands that bring a model of one's own: catalog, import, train with a backbone. TensorFlow loads late."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.artifact.load import ENGINES, Artifact
from model.training.errors import ConfigError
from model.training.importing.recipe import FRAMINGS, PIXELS

Answer = tuple[Any, str]
"""What --json prints, and what people read."""

_TRANSFER = "backbone", "data", "weights", "alpha", "size", "framing", "epochs", "fine_tune_epochs"
_RUNS = Path("build/train")
_ARTIFACTS = Path("build/artifacts")


def add_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """catalog and import; `add` makes a subcommand of a name, a help and an example."""
    add("catalog", "List Keras Applications' architectures.", "python -m model catalog")
    command = add(
        "import",
        "Make an artifact of a model from elsewhere.",
        "python -m model import flowers.keras --pixels tf --labels flowers.txt --out build/artifacts/flowers",
    )
    command.add_argument("source", help="a name of the catalog, a .keras, .h5 or .tflite file, or a SavedModel folder")
    command.add_argument("--out", type=Path, help=f"the artifact's folder (default: {_ARTIFACTS}/<name>)")
    command.add_argument("--name", default="", help="the model's name (default: the source's)")
    command.add_argument("--labels", type=Path, help="one label a line, or a class index (default: ImageNet's)")
    command.add_argument("--pixels", choices=list(PIXELS), help="the numbers the model was trained on, if it is silent")
    command.add_argument("--recipe", type=Path, help="a preprocessing recipe (JSON) in place of --pixels and --framing")
    command.add_argument("--engines", nargs="+", choices=list(ENGINES), default=[], help="default: all that can be")
    command.add_argument("--data", type=Path, help="images to try smaller forms on: a folder for each label, or any")
    _add_backbone(command)


def add_train_options(train: argparse.ArgumentParser) -> None:
    """What `train` takes for transfer learning."""
    train.add_argument("--backbone", help="a name of the catalog: learn the classes of --data upon it")
    train.add_argument("--data", help="a folder with a folder of images for each class")
    train.add_argument("--epochs", type=int, help="of the head (default: 30)")
    train.add_argument("--fine-tune-epochs", type=int, help="of the backbone's last layers after it (default: 3)")
    _add_backbone(train)


def wants_transfer(arguments: argparse.Namespace) -> bool:
    """Whether something is said that only transfer learning takes, by a flag or in the configuration."""
    from model.training.transfer.config import is_transfer_config

    return bool(_given(arguments, *_TRANSFER)) or is_transfer_config(arguments.config)


def run_transfer(arguments: argparse.Namespace, config: Path | None) -> Answer:
    """`train` with a backbone, named by a flag or in the `config` given."""
    from model.training.transfer.config import read_transfer_config

    if arguments.resume or arguments.quick:
        raise ConfigError("--resume and --quick are for the Fashion-MNIST network; a backbone's run takes neither")
    wanted = read_transfer_config(config, _given(arguments, *_TRANSFER))
    from model.training.transfer.train import transfer

    out = arguments.out or _RUNS / wanted.name
    result = transfer(wanted, out)
    text = (
        f"{out}: validation accuracy {result.accuracy:.2%} of {result.validation:,} images "
        f"({result.head_accuracy:.2%} with the head alone)"
    )
    return {
        "run": str(out),
        "accuracy": result.accuracy,
        "head_accuracy": result.head_accuracy,
        "training_images": result.training,
        "validation_images": result.validation,
        "skipped": result.skipped,
    }, text


def run_catalog(arguments: argparse.Namespace) -> Answer:
    """`catalog`."""
    from model.training.importing.catalog import catalog

    rows = [
        {"name": each.name, "size": each.size, "pixels": each.pixels, "alpha": each.has_alpha()}
        for each in catalog().values()
    ]
    lines = [f"{row['name']:<20} {row['size']}x{row['size']}  {row['pixels']}" for row in rows]
    return rows, "\n".join(lines)


def run_import(arguments: argparse.Namespace) -> Answer:
    """`import`."""
    from model.training.importing.import_model import Order, import_model, named

    chosen = _given(arguments, "weights", "alpha", "size", "framing")
    order = Order(
        source=arguments.source,
        name=arguments.name,
        labels=arguments.labels,
        pixels=arguments.pixels,
        recipe=arguments.recipe,
        engines=tuple(arguments.engines),
        data=arguments.data,
        **chosen,
    )
    return answer(import_model(order, arguments.out or _ARTIFACTS / (order.name or named(order.source))))


def answer(artifact: Artifact) -> Answer:
    """What is said of an artifact that was made."""
    engines = list(artifact.engines)
    said = {"artifact": str(artifact.folder), "digest": artifact.digest, "engines": engines}
    return said, f"{artifact.folder}: {artifact.digest}, engines {', '.join(engines)}"


def _given(arguments: argparse.Namespace, *keys: str) -> dict[str, Any]:
    """The options that were given; the others have their defaults where they are used."""
    return {key: value for key in keys if (value := getattr(arguments, key)) is not None}


def _add_backbone(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", help="imagenet (Keras downloads them), none, or a file (default: imagenet)")
    command.add_argument("--alpha", type=float, help="the width of an architecture that has several (default: 1)")
    command.add_argument("--size", type=int, help="pixels of either edge (default: the architecture's own)")
    command.add_argument("--framing", choices=FRAMINGS, help="what of a photo is seen (default: crop, its middle)")
