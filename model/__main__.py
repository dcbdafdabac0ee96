"""The model's command line: train, export, evaluate. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from model.artifact import AUTO, ENGINES, ArtifactError
from model.training.errors import TrainingError

_CONFIGS = Path(__file__).resolve().parent / "training" / "configs"
_ARTIFACT = Path("model/artifacts/fashion-mnist")
_RUNS = Path("build/train")
_EPILOG = """examples:
  python -m model train --quick
  python -m model train --config model/training/configs/fashion-mnist.yaml --resume
  python -m model export
  python -m model evaluate --engine litert --json

exit codes: 0 done, 1 it could not be done (stderr says why), 2 the command was wrong, 130 Ctrl-C"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the process's exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        answer, text = {"train": _train, "export": _export, "evaluate": _evaluate}[arguments.command](arguments)
    except (TrainingError, ArtifactError) as exc:
        print(f"model {arguments.command}: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"model {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as exc:
        print(f"model: {exc.name} is not installed: pip install -r model/requirements.txt", file=sys.stderr)
        return 1
    print(json.dumps(answer) if arguments.json else text)
    return 0


def _train(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.config import read_config
    from model.training.train import train

    path = _CONFIGS / "fashion-mnist-short.yaml" if arguments.quick else arguments.config
    out = arguments.out or _RUNS / path.stem
    last = train(read_config(path), out, arguments.resume, tensorboard=arguments.tensorboard)[-1]
    return {"run": str(out), **last}, f"{out}: validation accuracy {float(last['val_accuracy']):.2%}"


def _export(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.export import export

    kept, trained = _ARTIFACT / "training", _RUNS / "fashion-mnist"
    artifact = export(arguments.run or (trained if trained.is_dir() else kept), arguments.out)
    answer = {"artifact": str(artifact.folder), "digest": artifact.digest, "engines": list(artifact.engines)}
    return answer, f"{artifact.folder}: {artifact.digest}, engines {', '.join(artifact.engines)}"


def _evaluate(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from model.training.evaluate import evaluate

    evaluation = evaluate(arguments.artifact, arguments.engine, arguments.limit)
    return evaluation.to_dict(), evaluation.to_text()


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m model", description=__doc__, epilog=_EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, help: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, epilog=f"example: {example}")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        return command

    train = add("train", "Train a network; about an hour on two cores.", "python -m model train --resume")
    train.add_argument("--config", type=Path, default=_CONFIGS / "fashion-mnist.yaml", help="what to train (YAML)")
    train.add_argument("--quick", action="store_true", help="the short configuration: proves the path in two minutes")
    train.add_argument("--out", type=Path, help="the run's folder (default: build/train/<name of the config file>)")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    train.add_argument("--tensorboard", action="store_true", help="also write event files to <out>/tensorboard")
    export = add("export", "Make the artifact of a finished run, compared and measured.", "python -m model export")
    export.add_argument(
        "--run", type=Path, help=f"the run's folder (default: {_RUNS}/fashion-mnist, else the artifact's)"
    )
    export.add_argument("--out", type=Path, default=_ARTIFACT, help="the artifact's folder (default: %(default)s)")
    evaluate = add(
        "evaluate", "Score test images as PNG files, as they are served.", "python -m model evaluate --limit 1000"
    )
    evaluate.add_argument("--artifact", type=Path, default=_ARTIFACT, help="its folder (default: %(default)s)")
    evaluate.add_argument("--engine", choices=[AUTO, *ENGINES], default=AUTO, help="default: %(default)s, the fastest")
    evaluate.add_argument("--limit", type=int, help="how many of the 10,000 images (default: all)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
