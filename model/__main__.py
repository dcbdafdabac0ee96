"""Makes models and chooses the versions that are served. Results go to stdout, messages to stderr."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from model import streams
from model.artifact.load import AUTO, ENGINES
from model.commands.combine_command import add_combine, run_combine
from model.commands.pretrained_command import add_pretrained, run_pretrained
from model.commands.registry_commands import REGISTRY_COMMANDS, add_registry_commands
from model.commands.subcommands import PROGRAM, Subcommands
from model.errors import ArtifactError
from model.library_output import quiet_libraries
from model.text import printable_lines, reason, shortened
from model.training.commands import (
    add_commands,
    add_quick,
    add_train_options,
    artifact_output,
    check_run_folder,
    run_catalog,
    run_import,
    run_transfer,
    wants_transfer,
)
from model.training.errors import TrainingError
from model.training.export.source import TENSORFLOW

_CONFIGS = Path(__file__).resolve().parent / "training" / "configs"
_FASHION = _CONFIGS / "fashion-mnist.yaml"
_ARTIFACT = Path("model/artifacts/fashion-mnist")
_RUNS = Path("build/train")
_EPILOG = """examples:
  python -m model train --quick
  python -m model train --backbone MobileNetV2 --data photos
  python -m model export
  python -m model evaluate my-artifact --data photos/ --report report.html
  python -m model import ResNet50 --out build/artifacts/resnet50
  export REGISTRY=gs://my-bucket/registry
  python -m model push build/artifacts/resnet50
  python -m model alias set resnet50 stable 1.0.0

exit codes: 0 success, 1 failure (stderr has the reason), 2 invalid arguments,
130 interrupted"""


def main(argv: list[str] | None = None, *, program: str = PROGRAM) -> int:
    """Run one command and return the exit code. `program` is the name in usage texts."""
    arguments = _parser(program).parse_args(argv)
    command = " ".join(["model", arguments.command, *([arguments.action] if "action" in arguments else [])])
    try:
        with nullcontext() if arguments.debug else quiet_libraries():
            if arguments.command in _SLOW:
                print(f"{command}: loading TensorFlow", file=sys.stderr, flush=True)
            result, text = _COMMANDS[arguments.command](arguments)
        print(json.dumps(result) if arguments.json else printable_lines(text), flush=True)
        return 0
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        streams.discard()  # the reader has left (`| head`)
        return 1
    except Exception as exc:
        if arguments.debug:
            traceback.print_exception(exc)
        print(shortened(f"{command}: {_message(exc)}"), file=sys.stderr)
        return 1


def _message(exc: Exception) -> str:
    """The message of an error: its own words if this project raised it, else a sentence around a library's."""
    if isinstance(exc, TrainingError | ArtifactError):
        return str(exc)
    if isinstance(exc, ModuleNotFoundError):
        extra = "onnx" if (exc.name or "").startswith("onnx") else "training"
        return f"{exc.name} is not installed: make setup, or pip install '.[{extra}]' in a checkout"
    if isinstance(exc, OSError):
        return f"{exc.filename or 'a file'}: {exc.strerror or reason(exc)}"
    return f"an unexpected error, {type(exc).__name__}: {reason(exc)}; --debug shows where it occurred"


def _train(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.fashion_mnist.config import read_config
    from model.training.fashion_mnist.train import train

    if wants_transfer(arguments):
        return run_transfer(arguments, arguments.config if arguments.config != _FASHION else None)
    path = _CONFIGS / "fashion-mnist-short.yaml" if arguments.quick else arguments.config
    out = arguments.out or _RUNS / path.stem
    check_run_folder(out, transfer=False)
    last = train(read_config(path), out, arguments.resume, tensorboard=arguments.tensorboard)[-1]
    return {"run": str(out), **last}, f"{out}: validation accuracy {float(last['val_accuracy']):.2%}"


def _export(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.fashion_mnist.export import export
    from model.training.transfer.export import export_run, is_transfer_run

    if arguments.run and is_transfer_run(arguments.run):
        return artifact_output(export_run(arguments.run, arguments.out, arguments.engines, arguments.quick))
    kept, trained = _ARTIFACT / "training", _RUNS / "fashion-mnist"
    run = arguments.run or (trained if trained.is_dir() else kept)
    return artifact_output(export(run, arguments.out or _ARTIFACT, quick=arguments.quick))


def _evaluate(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.data.labelled import parse_mapping
    from model.training.evaluation.evaluate import TEST_IMAGES, evaluate

    mapping = parse_mapping(arguments.map)
    evaluation = evaluate(
        arguments.artifact, arguments.engine, arguments.data, arguments.labels, mapping, arguments.limit
    )
    if arguments.report:
        from model.training.evaluation.report import write_report

        write_report(evaluation, arguments.report)
    if arguments.save:
        from model.training.evaluation.keep import keep

        keep(evaluation, arguments.artifact, arguments.data.resolve().name if arguments.data else TEST_IMAGES)
    for skipped in evaluation.scored.skipped:
        print(f"skipped {skipped.file!a}: {skipped.reason}", file=sys.stderr)
    return evaluation.to_dict(), evaluation.to_text()


_COMMANDS = {
    "train": _train,
    "export": _export,
    "evaluate": _evaluate,
    "catalog": run_catalog,
    "import": run_import,
    "combine": run_combine,
    "pretrained": run_pretrained,
    **REGISTRY_COMMANDS,
}


# Commands that need TensorFlow, which takes seconds to load.
_SLOW = "train", "export", "import", "pretrained"


def _parser(program: str) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        program, description=__doc__.replace(". ", ".\n"), epilog=_EPILOG.replace(PROGRAM, program), formatter_class=raw
    )
    commands = Subcommands(parser, program, "command")
    add = commands.add
    train = add("train", "Train a network; about an hour on two cores.", "python -m model train --resume")
    train.add_argument("--config", type=Path, default=_FASHION, help="the training configuration (YAML)")
    train.add_argument("--quick", action="store_true", help="use the short configuration: a test run of two minutes")
    train.add_argument("--out", type=Path, help="the run's folder (default: build/train/<name of the config file>)")
    train.add_argument("--resume", action="store_true", help="continue the run in that folder")
    add_train_options(train)
    train.add_argument("--tensorboard", action="store_true", help="also write event files to <out>/tensorboard")
    export = add("export", "Build the artifact of a finished run and measure it.", "python -m model export")
    export.add_argument(
        "--run", type=Path, help=f"the run's folder (default: {_RUNS}/fashion-mnist, else the artifact's)"
    )
    export.add_argument(
        "--out",
        type=Path,
        help=f"the artifact's folder (default: {_ARTIFACT}; for a transfer run build/artifacts/<name>)",
    )
    export.add_argument(
        "--engines", nargs="+", choices=TENSORFLOW, default=[], help="engines to export, for a transfer run"
    )
    add_quick(export)
    evaluate = add(
        "evaluate",
        "Measure an artifact on labelled images, with the preprocessing of the worker.",
        "python -m model evaluate my-artifact --data photos/ --map tee=T-shirt/top --report build/report.html",
    )
    evaluate.add_argument(
        "artifact",
        type=Path,
        nargs="?",
        default=_ARTIFACT,
        metavar="ARTIFACT",
        help="the artifact's folder (default: %(default)s)",
    )
    evaluate.add_argument(
        "--data", type=Path, metavar="PATH", help="one folder per class, or IDX files (default: the test images)"
    )
    evaluate.add_argument(
        "--labels", type=Path, metavar="FILE", help="a CSV file with file,label (and map), used instead of folders"
    )
    evaluate.add_argument(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="CLASS=LABEL",
        help="the model's label for a class of the data",
    )
    evaluate.add_argument("--report", type=Path, metavar="FILE", help="write an HTML report with the worst errors")
    evaluate.add_argument(
        "--save", action="store_true", help="keep the figures in the artifact, for push and the page of predictions web"
    )
    evaluate.add_argument("--engine", choices=[AUTO, *ENGINES], default=AUTO, help="default: %(default)s, the fastest")
    evaluate.add_argument("--limit", type=_count, metavar="N", help="evaluate at most N images, evenly spread")
    add_commands(add)
    add_pretrained(commands)
    add_combine(commands)
    add_registry_commands(commands)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return number


_count.__name__ = "whole number"  # argparse says "invalid <name> value"


if __name__ == "__main__":
    # SIGTERM is handled like Ctrl-C, so that temporary folders are deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
