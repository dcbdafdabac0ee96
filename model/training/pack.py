"""Packing: from a model to an artifact, its engines compared with the model itself and measured before it is kept."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from model.artifact import ENGINES, Artifact, load_engine, read_artifact
from model.engine import Engine, Images, Signature
from model.preprocess import run_recipe
from model.training.errors import ExportError, SourceError
from model.training.measure import Parity, Speed, Target, compare, measure_speeds, score_all
from model.training.source import Source
from model.training.writing import replace, write_manifest, write_signature

MAX_DIFFERENCE = 1e-3
"""Of a score, as a share of the highest: random weights give a thousand classes a thousandth each."""

_PROBES = 16

Tell = Callable[[Artifact], str]


def pack(
    source: Source, signature: Signature, name: str, version: str, out: Path, engines: Sequence[str], tell: Tell
) -> Artifact:
    """Write the artifact of `source` to `out`, replacing what is there only when every check has passed.

    `tell`: gives what MODEL_CARD.md says beside the measurements, once the artifact can be loaded. Raises ExportError
    when an engine does not score as the model does, or the disk is full.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.packing")
    with _writing(out, work):
        source.write(work, engines)
        for path in work.iterdir():
            if path.name == "saved_model" and "savedmodel" not in engines:
                shutil.rmtree(path)
        write_signature(work, signature)
        write_manifest(work, name, version, dict.fromkeys(engines))
        speeds, parities = _measure(work, source, signature)
        write_manifest(work, name, version, speeds)
        artifact = read_artifact(work)
        (work / "MODEL_CARD.md").write_text(_card(artifact, speeds, parities, tell(artifact)), "utf-8")
        replace(work, out)
    return read_artifact(out)


def probes(signature: Signature, count: int = _PROBES) -> Images:
    """Made-up photos through the recipe: coloured slopes under noise, the same every time."""
    rng = np.random.default_rng(0)
    height, width = 2 * signature.height, 2 * signature.width
    photos = []
    for _ in range(count):
        corners = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8)).resize((width, height))
        noise = rng.integers(-20, 21, (height, width, 3))
        photos.append(Image.fromarray(np.clip(np.asarray(corners, np.int16) + noise, 0, 255).astype(np.uint8)))
    return np.concatenate([run_recipe(photo, signature) for photo in photos])


@contextmanager
def _writing(out: Path, work: Path) -> Iterator[None]:
    """An empty `work` beside `out`, gone afterwards whatever happens."""
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield
    except (OSError, tf.errors.OpError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ExportError(f"{out} cannot be written: {reason}; what stood there is as it was") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _measure(work: Path, source: Source, signature: Signature) -> tuple[dict[str, Speed], dict[str, Parity]]:
    """Every engine compared with the model and timed, the fastest first."""
    images = probes(signature)
    reference = source.score(images, signature)
    if not np.isfinite(reference).all() or reference.min() < 0 or reference.max() > 1 + MAX_DIFFERENCE:
        raise SourceError(
            f"{source.origin} gives numbers from {reference.min():.3g} to {reference.max():.3g}, not probabilities; "
            "it must end with a softmax"
        )
    artifact = read_artifact(work)
    parities: dict[str, Parity] = {}
    for engine_name in artifact.engines:
        _, engine = load_engine(artifact, engine_name)
        parities[engine_name] = _compared(engine_name, engine, images, reference)
        engine.close()
    measured = measure_speeds([Target(work, name, work / ENGINES[name].path) for name in artifact.engines])
    speeds = dict(zip(artifact.engines, measured, strict=True))
    fastest = sorted(speeds, key=lambda engine_name: speeds[engine_name].images_per_second, reverse=True)
    return {engine_name: speeds[engine_name] for engine_name in fastest}, parities


def _compared(name: str, engine: Engine, images: Images, reference: Images) -> Parity:
    parity = compare(score_all(engine, images), reference)
    allowed = MAX_DIFFERENCE * float(reference.max())
    if parity.max_difference > allowed:
        raise ExportError(
            f"{name} does not score as the model does: scores differ by {parity.max_difference:.1e} "
            f"(at most {allowed:.1e})"
        )
    print(f"{name}: scores differ by {parity.max_difference:.1e} from the model's", file=sys.stderr, flush=True)
    return parity


def _card(artifact: Artifact, speeds: Mapping[str, Speed], parities: Mapping[str, Parity], told: str) -> str:
    rows = "\n".join(
        f"| {name} | {speed.cold_start_s:.2f} s | {speed.single:,.1f} | {speed.batched:,.1f} "
        f"| {parities[name].max_difference:.1e} |"
        for name, speed in speeds.items()
    )
    signature = artifact.signature
    size = sum(path.stat().st_size for path in artifact.folder.rglob("*") if path.is_file())
    return f"""# {artifact.name} {artifact.version}

{told}

Takes {signature.height}x{signature.width} images of {signature.channels} channels, made of a photo by the recipe in
`signature.json`; answers with one of {len(signature.labels):,} labels, whatever the picture shows.

Digest `{artifact.digest}`.

| engine | cold start | images/s, batch 1 | images/s, batch 32 | largest score difference |
|---|---|---|---|---|
{rows}

Cold start: process start to first score, verification of the files included. Images per second: one CPU thread a call.
The last column compares with the model itself on {_PROBES} made-up images. Files: {size / 1e6:.1f} MB.
Machine: {os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}.
"""
