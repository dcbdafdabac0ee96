"""`python -m tests.bench.engines MODEL...`: compares ways to run .tflite and .onnx files.

Each way is a process of its own. The processes take turns, so that the load of the machine affects all of them.
Processor time depends less on that load than time does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from tests.bench.engines.ways import BATCHES, WAYS, input_of
from tests.bench.parts import ROOT
from tests.bench.rows import Row, row, table, write


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that measures when it is asked to."""

    asked: IO[str]
    answers: IO[str]

    def measure(self, batch: int) -> list[float]:
        """Milliseconds for an image in such a batch: processor time and time."""
        self.asked.write(f"{batch}\n")
        self.asked.flush()
        measured: list[float] = self.answer()
        return measured

    def answer(self) -> Any:
        """The next line of the process."""
        if not (line := self.answers.readline()):
            raise RuntimeError("a measured process has ended early; its error is above")
        return json.loads(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engines", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a .tflite or .onnx file")
    parser.add_argument("--turns", type=int, default=9, help="measurements of each way (default 9)")
    parser.add_argument("--out", type=Path, default=Path("build/bench/engines.json"), help="default %(default)s")
    options = parser.parse_args(arguments)
    rows = [each for model in options.models for each in _compared(model, options.turns)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(options.out, rows)
    Console().print(table("Ways to run a model, one thread unless two are named", rows))
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def _compared(model: Path, turns: int) -> list[Row]:
    """The rows of a model: loading, memory, and scoring by images in a call of each way."""
    shape, dtype = input_of(model)
    batches = BATCHES if shape[0] is None else (1,)
    usual = batches[:2][-1]  # of a busy worker
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    ways, digests = list(WAYS[model.suffix]), {}
    with tempfile.TemporaryDirectory() as folder:

        def arguments(way: str) -> list[str]:
            return [str(model), way, folder, dtype, *map(str, shape[1:])]

        for turn in range(turns + 1):
            for way in ways:
                with _process(arguments(way)) as process:
                    load, _ = process.answer(), process.measure(usual)
                    process.asked.close()
                    memory, digests[way] = process.answer()
                    if turn:  # the first process of a way writes its caches
                        _keep(taken, way, "load", load)
                        taken[way, f"memory at batch {usual} (MB)"].append(memory)
        with ExitStack() as stack:
            processes = {way: stack.enter_context(_process(arguments(way))) for way in ways}
            for process in processes.values():
                process.answer()
            for _ in range(turns):
                for batch in batches:
                    for way, process in processes.items():
                        _keep(taken, way, f"batch {batch}", process.measure(batch))
    same = {way: digests[way] == digests[ways[0]] for way in ways}
    return [
        row(
            f"engine.{_named(model)}.{what}.{way}",
            runs,
            "MB" if "MB" in what else "ms",
            how=f"same output: {same[way]}",
        )
        for (way, what), runs in taken.items()
    ]


def _named(model: Path) -> str:
    """A model's name: an artifact's file is named like that of any other."""
    return model.parent.name if model.stem == "model" else model.stem


def _keep(taken: defaultdict[tuple[str, str], list[float]], way: str, what: str, measured: list[float]) -> None:
    for kind, value in zip(("processor time", "time"), measured, strict=True):
        taken[way, f"{what} ({kind})"].append(value)


@contextmanager
def _process(arguments: Sequence[str]) -> Iterator[_Process]:
    command = [sys.executable, "-m", "tests.bench.engines.process", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdin and started.stdout
        yield _Process(started.stdin, started.stdout)
        started.stdin.close()
        started.stdout.read()


if __name__ == "__main__":
    sys.exit(main())
