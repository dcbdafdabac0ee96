"""Subcommands for other models: catalog, import, and train with a backbone. TensorFlow is imported when they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.artifact.load import ENGINES, Artifact
from model.engines.outputs import ROWS
from model.training.errors import ConfigError, RunError
from model.training.importing.onnx_limits import OnnxLimits
from model.training.importing.recipe import FRAMINGS, PIXELS, is_preset

# The value that --json prints, and the text that is printed without it.
Output = tuple[Any, str]

# Options that only transfer learning takes.
_TRANSFER = "backbone", "data", "weights", "alpha", "size", "framing", "epochs", "fine_tune_epochs"
_RUNS = Path("build/train")
_ARTIFACTS = Path("build/artifacts")


def add_commands(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add catalog and import; `add` makes a subcommand from a name, a help text and an example."""
    add("catalog", "List Keras Applications' architectures.", "python -m model catalog")
    command = add(
        "import",
        "Make an artifact from a model file or a known architecture.",
        "python -m model import flowers.keras --pixels tf --labels flowers.txt --out build/artifacts/flowers",
    )
    command.add_argument(
        "source",
        help="a catalog name, a .keras, .h5, .tflite or .onnx file, a SavedModel folder, a model.json of TensorFlow.js "
        "or its folder, a zip with one of them, a folder from Hugging Face with an .onnx file or model.safetensors, or "
        "one from timm with an .onnx file; also gs://bucket/folder",
    )
    command.add_argument("--file", metavar="NAME", help="which .onnx file of a folder, if it has several")
    command.add_argument("--out", type=Path, help=f"the artifact's folder (default: {_ARTIFACTS}/<name>)")
    command.add_argument("--name", default="", help="the model's name (default: from the source)")
    command.add_argument(
        "--labels",
        type=Path,
        help="lines of labels, a table or a class index (default: the file's own, else ImageNet's)",
    )
    command.add_argument(
        "--pixels",
        type=_pixels,
        metavar="NAME",
        help=f"pixel scaling in training, if the file lacks it: {', '.join(PIXELS)}, or the preprocessing of "
        "torchvision's weights, such as torchvision:resnet50.v2",
    )
    command.add_argument(
        "--outputs",
        choices=ROWS,
        help="what the model's numbers mean, if the file does not say it (see docs/models.md)",
    )
    command.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="the score from which on an image has a label, for a multi-label model (default: 0.5)",
    )
    command.add_argument("--output", metavar="NAME", help="which output has the scores, if the model has several")
    command.add_argument("--signature", metavar="NAME", help="which signature is served (default: serving_default)")
    command.add_argument("--recipe", type=Path, help="a preprocessing recipe (JSON) instead of --pixels and --framing")
    command.add_argument(
        "--engines", nargs="+", choices=list(ENGINES), default=[], help="engines to export (default: all possible)"
    )
    command.add_argument(
        "--data", type=Path, help="images to compare smaller variants on: a folder per label, or unlabelled files"
    )
    add_quick(command)
    _add_backbone(command)
    _add_limits(command)


def add_quick(command: argparse.ArgumentParser) -> None:
    """Add the option of commands that measure engines."""
    command.add_argument("--quick", action="store_true", help="measure each engine's speed once instead of five times")


def add_train_options(train: argparse.ArgumentParser) -> None:
    """Add the options of `train` for transfer learning."""
    train.add_argument("--backbone", help="a catalog name: train a classifier of the classes of --data on it")
    train.add_argument("--data", help="a folder with a folder of images for each class")
    train.add_argument("--epochs", type=int, help="epochs of the head (default: 30)")
    train.add_argument("--fine-tune-epochs", type=int, help="epochs of the backbone's last layers (default: 3)")
    _add_backbone(train)


def wants_transfer(arguments: argparse.Namespace) -> bool:
    """Whether an option or the configuration asks for transfer learning."""
    from model.training.transfer.config import is_transfer_config

    return bool(_given(arguments, *_TRANSFER)) or is_transfer_config(arguments.config)


def check_run_folder(out: Path, transfer: bool) -> None:
    """Raise RunError when the folder `out` holds a run of the other kind: with a backbone, or of Fashion-MNIST."""
    from model.training.transfer.config import is_transfer_config

    kept = out / "config.yaml"
    if not kept.is_file() or (found := is_transfer_config(kept)) == transfer:
        return
    what = "with a backbone, which cannot be resumed" if found else "of the Fashion-MNIST network"
    raise RunError(f"{out} holds a run {what}; choose another folder (--out), or remove it and train again")


def run_transfer(arguments: argparse.Namespace, config: Path | None) -> Output:
    """Run `train` with a backbone, which an option or the file `config` names."""
    from model.training.transfer.config import read_transfer_config

    if arguments.resume or arguments.quick:
        raise ConfigError("--resume and --quick are for the Fashion-MNIST network; a transfer run takes neither")
    wanted = read_transfer_config(config, _given(arguments, *_TRANSFER))
    from model.training.transfer.train import transfer

    out = arguments.out or _RUNS / wanted.name
    check_run_folder(out, transfer=True)
    result = transfer(wanted, out)
    text = (
        f"{out}: validation accuracy {result.accuracy:.2%} of {result.validation:,} images "
        f"({result.head_accuracy:.2%} with only the head trained)"
    )
    return {
        "run": str(out),
        "accuracy": result.accuracy,
        "head_accuracy": result.head_accuracy,
        "training_images": result.training,
        "validation_images": result.validation,
        "skipped": result.skipped,
    }, text


def run_catalog(arguments: argparse.Namespace) -> Output:
    """Run `catalog`."""
    from model.training.importing.catalog import catalog

    rows = [
        {"name": each.name, "size": each.size, "pixels": each.pixels, "alpha": each.has_alpha()}
        for each in catalog().values()
    ]
    lines = [f"{row['name']:<20} {row['size']}x{row['size']}  {row['pixels']}" for row in rows]
    return rows, "\n".join(lines)


def run_import(arguments: argparse.Namespace) -> Output:
    """Run `import`."""
    from model.training.importing.import_model import ImportOptions, import_model, named

    chosen = _given(arguments, "weights", "alpha", "size", "framing")
    options = ImportOptions(
        source=arguments.source,
        name=arguments.name,
        labels=arguments.labels,
        pixels=arguments.pixels,
        recipe=arguments.recipe,
        file=arguments.file,
        outputs=arguments.outputs,
        threshold=arguments.threshold,
        output=arguments.output,
        signature=arguments.signature,
        limits=OnnxLimits(arguments.max_size, arguments.max_nodes, arguments.max_seconds, arguments.max_memory),
        engines=tuple(arguments.engines),
        data=arguments.data,
        quick=arguments.quick,
        **chosen,
    )
    return artifact_output(import_model(options, arguments.out or _ARTIFACTS / (options.name or named(options.source))))


def artifact_output(artifact: Artifact) -> Output:
    """The output of a command that made an artifact."""
    engines = list(artifact.engines)
    result = {"artifact": str(artifact.folder), "digest": artifact.digest, "engines": engines}
    return result, f"{artifact.folder}: {artifact.digest}, engines {', '.join(engines)}"


def _given(arguments: argparse.Namespace, *keys: str) -> dict[str, Any]:
    """The options that were given. The code that uses the others has their defaults."""
    return {key: value for key in keys if (value := getattr(arguments, key)) is not None}


def _pixels(text: str) -> str:
    """The value of --pixels."""
    if text not in PIXELS and not is_preset(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of: {', '.join(PIXELS)}, torchvision:NAME")
    return text


def _add_backbone(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", help="imagenet (Keras downloads them), none, or a file (default: imagenet)")
    command.add_argument("--alpha", type=float, help="width of an architecture that has several (default: 1)")
    command.add_argument("--size", type=int, help="pixels of each edge (default: the architecture's own)")
    command.add_argument("--framing", choices=FRAMINGS, help="how an image is fitted (default: crop, its middle)")


def _add_limits(command: argparse.ArgumentParser) -> None:
    usual, group = OnnxLimits(), command.add_argument_group("limits of .onnx files")
    for name, kind, default, unit, what in (
        ("--max-size", int, usual.size, "BYTES", "bytes of the file and of its weights in other files"),
        ("--max-nodes", int, usual.nodes, "NODES", "nodes; those of a function count at each call"),
        ("--max-seconds", float, usual.seconds, "SECONDS", "seconds to load the file and to score one image"),
        ("--max-memory", int, usual.memory, "BYTES", "bytes of memory to load the file and to score one image"),
    ):
        group.add_argument(name, type=kind, default=default, metavar=unit, help=f"{what} (default: %(default)s)")
