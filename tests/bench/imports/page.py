"""Writes docs/benchmarks/imports.md, the table of imported models."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.imports.measure import Result

_PAGE = """# Imported models

Models of several tools, each imported by one command and compared with the tool's own scores on the same {photos}
photos. `python -m tests.bench.imports --page docs/benchmarks/imports.md` writes this page; it needs
TensorFlow, ONNX Runtime and the shared data; PyTorch, torchvision and onnxscript for the rows of PyTorch.

Measured on {date} on {machine}.

{head}
{rows}

{left_out}- **Model**: names in bold have trained weights. The others are random, as no trained ones were at hand: their
  normalisations have the statistics of 32 photos, and their last layer is scaled so that each label's logits have the
  mean 0 and the deviation 3 over these photos. The number of different best labels on the photos is in brackets.
- **Command**: after `predictions model import`; `--quick` was added to all, and `--engines litert` to those of Keras,
  TensorFlow and Teachable Machine, which leaves out the SavedModel.
- **Asked for**: the program imports without options first, and adds the one that the import names when it refuses
  (`--recipe` where it names `--pixels` and no scaling fits).
- **Same best label, difference**: the project decodes and preprocesses the photos, its engine scores them, and the tool
  scores the same arrays. Scores are from 0 to 1. Keras scores the network that its file was written from (also those
  of Keras 2: this Keras writes them in the form of 2.15), TensorFlow its SavedModel, TensorFlow's own interpreter the
  .tflite file, PyTorch the network before the export. The tool of the file that came as ONNX is ONNX Runtime alone.
- **Images/s**: the engine on one thread, one image at a time and in batches of 32, per second of processor time, which
  other load on the machine disturbs less than a clock. Decoding and preprocessing are not included.
- **MB**: of the artifact.
"""

_HEAD = "model", "command", "asked for", "same best label", "largest difference", "engine, images/s", "MB"


def page(results: Sequence[Result], photos: int, date: str, machine: str, left_out: Sequence[str]) -> str:
    """The page in Markdown. `left_out`: names of models that were not measured."""
    lines, tool = [], ""
    for result in results:
        if result.tool != tool:
            tool = result.tool
            lines.append(_line(f"_{tool}_", *[""] * (len(_HEAD) - 1)))
        lines.append(_line(*_cells(result)))
    missing = f"Not measured: {'; '.join(left_out)}.\n\n" if left_out else ""
    head = "\n".join((_line(*_HEAD), _line(*["---"] * len(_HEAD))))
    return _PAGE.format(photos=photos, date=date, machine=machine, head=head, rows="\n".join(lines), left_out=missing)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(result: Result) -> list[str]:
    name = f"**{result.name}**" if result.real else result.name
    command = f"`{result.command}`" if result.command else ""
    if result.fault:
        return [name, command, f"failed: {result.fault.replace('|', '/')}", "", "", "", ""]
    rates = result.speed, result.batched_speed
    speeds = " / ".join(f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" for rate in rates)
    return [
        name,
        command,
        ", ".join(f"`{flag}`" for flag in result.asked) or "nothing",
        f"{result.same:.1%} ({result.different})",
        f"{result.difference:.1g}",
        f"{result.engine} {speeds}",
        f"{result.size_bytes / 1e6:.2f}",
    ]
