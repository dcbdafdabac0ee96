"""Writes docs/benchmarks/imports.md: the table of imported models, and the section of trained networks."""

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

{networks}"""

BEGIN, END = "<!-- trained networks: begin -->", "<!-- trained networks: end -->"
"""Marks around the section that `python -m tests.bench.imports --packages FOLDER` writes."""

_NETWORKS = """## Trained networks that other people published

`python -m tests.bench.imports --packages FOLDER --page docs/benchmarks/imports.md` writes this section, with the
packages in the folder:

{install}

Measured on {date} on {machine}, with {photos} photos.

{head}
{rows}

{left_out}- The columns are those above, for each engine of the artifact. **Cold start** is the processor time of a new
  process that verifies and loads the artifact and scores one image, the median of five. **MB** is what the engine
  loads.
- The tool of .onnx files is ONNX Runtime alone, that of .tflite files TensorFlow's interpreter, that of the .h5 file
  Keras 2 (tf_keras), and that of nsfwjs TensorFlow.js with its WebAssembly backend. They score the arrays that the
  project makes of the photos. nsfwjs keeps its models as JavaScript, which Node writes as a model.json first.
  The package of occular-deskew also pads photos with white and averages four rotations, which is not part of the file.
- The photos are those of ImageNet, which is not what the networks of the packages were trained on: the table shows that
  they are served unchanged, not how good they are.
"""

_NETWORKS_HEAD = (
    *("model", "command", "asked for", "engine", "same best label", "largest difference", "images/s", "cold start, s"),
    "MB",
)
_HEAD = "model", "command", "asked for", "same best label", "largest difference", "engine, images/s", "MB"


def page(
    results: Sequence[Result], photos: int, date: str, machine: str, left_out: Sequence[str], networks: str = ""
) -> str:
    """The page in Markdown. `left_out`: names of models that were not measured. `networks`: its last section."""
    lines, tool = [], ""
    for result in results:
        if result.tool != tool:
            tool = result.tool
            lines.append(_line(f"_{tool}_", *[""] * (len(_HEAD) - 1)))
        lines.append(_line(*_cells(result)))
    missing = f"Not measured: {'; '.join(left_out)}.\n\n" if left_out else ""
    head = "\n".join((_line(*_HEAD), _line(*["---"] * len(_HEAD))))
    rows = "\n".join(lines)
    return _PAGE.format(
        photos=photos, date=date, machine=machine, head=head, rows=rows, left_out=missing, networks=networks
    )


def networks_of(text: str) -> str:
    """The section of the trained networks in a page's text, with its marks; empty when it has none."""
    begin, end = text.find(BEGIN), text.find(END)
    return f"{text[begin : end + len(END)]}\n" if 0 <= begin < end else ""


def networks(
    results: Sequence[Result], photos: int, date: str, machine: str, left_out: Sequence[str], install: Sequence[str]
) -> str:
    """The section of the trained networks, with its marks. `install`: the commands that install their packages."""
    lines, before = [], ""
    for result in results:
        title = f"{result.tool}, {result.name}"
        lines.append(_line(*_network_cells(result, title if title != before else "")))
        before = title
    missing = f"Not measured, as they are not installed: {'; '.join(left_out)}.\n\n" if left_out else ""
    head = "\n".join((_line(*_NETWORKS_HEAD), _line(*["---"] * len(_NETWORKS_HEAD))))
    shown = "\n".join(f"    {command}" for command in install)
    made = _NETWORKS.format(
        photos=photos, date=date, machine=machine, head=head, rows="\n".join(lines), left_out=missing, install=shown
    )
    return f"{BEGIN}\n{made}{END}\n"


def _network_cells(result: Result, title: str) -> list[str]:
    """The cells of an engine's row; only a model's first row has a title and tells the command."""
    if result.fault:
        return [title, _command(result), _fault(result), *[""] * 6]
    first = [title, _command(result), _asked(result)] if title else [""] * 3
    cold = f"{result.cold_seconds:.2f}"
    return [*first, result.engine, *_agreement(result), _rates(result), cold, f"{result.size_bytes / 1e6:.2f}"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(result: Result) -> list[str]:
    name = f"**{result.name}**" if result.real else result.name
    if result.fault:
        return [name, _command(result), _fault(result), "", "", "", ""]
    size = f"{result.size_bytes / 1e6:.2f}"
    speeds = f"{result.engine} {_rates(result)}"
    return [name, _command(result), _asked(result), *_agreement(result), speeds, size]


def _command(result: Result) -> str:
    return f"`{result.command}`" if result.command else ""


def _fault(result: Result) -> str:
    return f"failed: {result.fault.replace('|', '/')}"


def _asked(result: Result) -> str:
    return ", ".join(f"`{flag}`" for flag in result.asked) or "nothing"


def _agreement(result: Result) -> tuple[str, str]:
    return f"{result.same:.1%} ({result.different})", f"{result.difference:.1g}"


def _rates(result: Result) -> str:
    rates = result.speed, result.batched_speed
    return " / ".join(f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" for rate in rates)
