"""Writes MODEL_CARD.md: a description of the model and its measurements. Every number comes from the export."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from model.artifact.load import ENGINES, Artifact
from model.engines.base import Signature
from model.training.export.benchmark import BATCHES, THREADS
from model.training.export.calibration_data import CalibrationData
from model.training.export.parity import PROBES
from model.training.export.selection import MARGIN, MAX_DROP, MIN_AGREEMENT, Candidate
from model.training.export.variants import LITE, ONNX, UNCONVERTED, Measured

# How `--quick` measures.
ONCE = "was measured once (`--quick`), so it is rough, and another engine or variant may be faster"

_PACKAGES = "tensorflow", "keras", "ai-edge-litert", "numpy"


def render_card(artifact: Artifact, measured: Measured, trial: CalibrationData | None, description: str) -> str:
    """Render the card as Markdown: the `description` of the model, then the measurements."""
    signature = artifact.signature
    size = sum(path.stat().st_size for path in artifact.folder.rglob("*") if path.is_file())
    compared = f"{len(trial.images):,} {trial.name}" if trial else f"{PROBES} synthetic images"
    rounds = max(len(speed.rounds) for speed in measured.speeds.values())
    times = f"is the median of {rounds} processes, which took turns" if rounds > 1 else ONCE
    how = "the maps of its last features" if measured.explains else "covering parts of the image"
    return f"""# {artifact.name} {artifact.version}

{description}

It takes {signature.height}x{signature.width} images of {signature.channels} channels, which the recipe in
`signature.json` makes from an image file. It scores {len(signature.labels):,} labels, whatever the image
shows. It explains a prediction by {how}. Digest `{artifact.digest}`.

## Measured

{_engines(measured, signature)}

Engines are ordered by the geometric mean of both rates. The last two columns compare them with the model itself on the
{compared}. Files: {size / 1e6:.1f} MB.

## Compression

{_compression(measured, trial, compared, signature)}

Cold start: from process start to the first score, including the verification of the files. Images per second: by images
per call, with one thread unless two are named. Each figure {times}.
Machine: {os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}.
Software: {", ".join(f"{package} {version(package)}" for package in _packages(measured))}.
"""


def _packages(measured: Measured) -> list[str]:
    return [*_PACKAGES, *(["onnxruntime"] if ONNX in measured.speeds else [])]


def _engines(measured: Measured, signature: Signature) -> str:
    other = "other labels" if signature.multi_label else "other best label"
    headings = "cold start", "images/s, batch 1", "images/s, batch 32", other, "largest score difference"
    lines = ["| engine | " + " | ".join(headings) + " |", "|---" * 6 + "|"]
    for name, speed in measured.speeds.items():
        parity = measured.parities[name]
        lines.append(
            f"| {name} | {speed.cold_start_s:.2f} s | {_rate(speed.single)} | {_rate(speed.batched)} "
            f"| {parity.disagreement:.2%} | {parity.max_difference:.1e} |"
        )
    return "\n".join(lines)


def _compression(measured: Measured, trial: CalibrationData | None, compared: str, signature: Signature) -> str:
    parts = [_lite_compression(measured, trial, compared, signature)]
    if trial and measured.candidates[ONNX]:
        parts.append(_choice(ONNX, measured, trial, compared, signature))
    if any(len(found) > 1 for found in measured.candidates.values()):
        parts.append("Memory: the peak of the process.")
    return "\n\n".join(parts)


def _lite_compression(measured: Measured, trial: CalibrationData | None, compared: str, signature: Signature) -> str:
    if not measured.candidates[LITE]:
        return "Not compressed: the artifact has no LiteRT file." if not trial else "The artifact has no LiteRT file."
    if measured.served[LITE] == UNCONVERTED:
        return "`model.tflite` is the imported file, unchanged."
    if trial is None:
        return (
            "`model.tflite` is in float32. There are no smaller variants, because there were no images to compare "
            "their predictions on (`python -m model import --data` names some)."
        )
    return _choice(LITE, measured, trial, compared, signature)


def _choice(engine: str, measured: Measured, trial: CalibrationData, compared: str, signature: Signature) -> str:
    """How the variant of an engine's file was chosen, and the figures of all of them."""
    accuracy = (
        f", and whose accuracy there is at most {100 * MAX_DROP:g} points lower"
        if trial.truth is not None
        else "; the accuracy that it costs is unknown, because these images have no labels"
    )
    left_out = "".join(f"\n{variant} cannot be made: {why}." for variant, why in measured.impossible[engine].items())
    same = f"labels from {signature.threshold:g} on equal" if signature.multi_label else "best label equals"
    return f"""`{ENGINES[engine].path}` is the fastest variant whose {same} the model's own on at least
{MIN_AGREEMENT:.1%} of the {compared}{accuracy}.
A simpler variant, higher in the table, is preferred when the difference of speed is within noise: {MARGIN:.0%}, or
twice the typical deviation of the ratio of two variants' speeds from its median over the rounds of measuring.
int8 was calibrated with {len(trial.samples):,} other images.{left_out}

{_variants(measured.candidates[engine], measured.served[engine])}"""


def _variants(candidates: Sequence[Candidate], served: str) -> str:
    """A row for each variant, the served one in bold."""
    rates = [(threads, batch) for threads in THREADS for batch in BATCHES]
    headings = [f"{batch}" if threads == 1 else f"{batch}, {threads} threads" for threads, batch in rates]
    lines = [
        "| variant | agreement | drop, points | MB | cold start | memory, MB | images/s at "
        + " | ".join(headings)
        + " |",
        "|---" * (6 + len(rates)) + "|",
    ]
    for candidate in candidates:
        speed, named = candidate.speed, candidate.variant or "unconverted"
        name = f"**{named}**, served" if candidate.variant == served else named
        cells = [
            name if candidate.passes else f"{name}, does not pass",
            f"{candidate.agreement:.2%}",
            "-" if candidate.drop is None else f"{100 * candidate.drop:.2f}",
            f"{candidate.size / 1e6:.2f}",
            f"{speed.cold_start_s:.2f} s",
            f"{speed.memory / 1e6:.0f}",
            *(_rate(speed.rates[rate]) for rate in rates),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.1f}"
