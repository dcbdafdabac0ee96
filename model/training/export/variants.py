"""Builds the variants of a model, compares them with the model itself, measures them, and selects the served one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.artifact.load import ENGINES, open_engine
from model.drift import make_reference
from model.engines.base import Images, Scores, Signature
from model.errors import ArtifactError
from model.text import reason
from model.training.errors import ExportError, SourceError
from model.training.export.artifact_writer import write_golden, write_manifest, write_signature
from model.training.export.benchmark import Parity, Speed, Target, compare, measure_speeds, score_all
from model.training.export.calibration_data import CalibrationData
from model.training.export.convert import check_samples, convert
from model.training.export.parity import check_parity, probes, reference_scores
from model.training.export.progress import say
from model.training.export.selection import VARIANTS, Candidate, choose, faithfulness
from model.training.export.source import Endpoints, Source

LITE, SAVED, ONNX = "litert", "savedmodel", "onnx"

# The variant of a model that was imported as a file of the engine.
UNCONVERTED = ""

INT8 = "int8"


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What to export. Without `trial` there is no compression, because smaller variants could not be compared.

    `quick`: measure each speed once. The figures are rough then, and so is the choice of the fastest variant.
    """

    source: Source
    signature: Signature
    name: str
    version: str
    engines: Sequence[str]
    trial: CalibrationData | None = None
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements. Engines are ordered by speed. By engine, `candidates` are the variants of its file, simplest
    first, of which `served` is in the artifact; `impossible`: the variants that cannot be made, and why. `explains`:
    whether the model has activation maps."""

    speeds: Mapping[str, Speed]
    parities: Mapping[str, Parity]
    candidates: Mapping[str, Sequence[Candidate]]
    served: Mapping[str, str]
    impossible: Mapping[str, Mapping[str, str]]
    explains: bool


@dataclass(frozen=True, slots=True)
class _Variant:
    """A file or folder of an engine, and its scores for the images of the trial."""

    engine: str
    variant: str
    path: Path
    scores: Scores


def build(product: ExportJob, work: Path) -> Measured:
    """Write the engines' files, signature.json with its reference, golden.json and manifest.json into the empty folder
    `work`.

    Raises ExportError when an engine's scores differ from the model's, SourceError when the model gives no
    probabilities or cannot be converted for an engine.
    """
    source, signature, trial = product.source, product.signature, product.trial
    images = trial.images if trial else probes(signature)
    if trial:
        check_samples(trial.samples, signature)
    say(f"{source.origin}: scoring {len(images):,} images with the model itself")
    reference = reference_scores(source, images, signature)
    endpoints = source.write(work)
    with tempfile.TemporaryDirectory(prefix="forms-", dir=work.parent) as place:
        lite, no_lite = _lite_or_none(product, endpoints, work, Path(place), images, reference)
        saved = _unconverted(SAVED, product, work, images, reference)
        onnx, no_onnx = _onnx_variants(product, work, Path(place), images, reference)
        forms = [*lite, *saved, *onnx]
        _serve(lite[:1], work)
        write_signature(work, signature)
        write_manifest(work, product.name, product.version, dict.fromkeys(form.engine for form in forms))
        measure = partial(measure_speeds, rounds=1) if product.quick else measure_speeds
        timed = list(zip(forms, measure([Target(work, form.engine, form.path) for form in forms]), strict=True))
        candidates = {
            engine: [_judged(form, speed, reference, product) for form, speed in timed if form.engine == engine]
            for engine in (LITE, ONNX)
        }
        served = {engine: choose(found).variant for engine, found in candidates.items() if found}
        timed = [(form, speed) for form, speed in timed if form.variant == served.get(form.engine, UNCONVERTED)]
        _serve([form for form, _ in timed], work)
        timed.sort(key=lambda each: each[1].images_per_second, reverse=True)
        # A reference counts best labels, which do not describe the predictions of a multi-label model.
        has_reference = trial and not signature.multi_label
        write_signature(
            work, signature, make_reference(timed[0][0].scores, signature.labels) if has_reference else None
        )
        speeds = {form.engine: speed for form, speed in timed}
        write_golden(work, signature, speeds)
        write_manifest(work, product.name, product.version, speeds, served, source.parameters)
    parities = {form.engine: compare(form.scores, reference, signature.cut) for form, _ in timed}
    explains = endpoints is not None and "explain" in endpoints.names
    return Measured(speeds, parities, candidates, served, {LITE: no_lite, ONNX: no_onnx}, explains)


def _serve(forms: Sequence[_Variant], work: Path) -> None:
    """Copy the forms that are elsewhere to their places in the artifact."""
    for form in forms:
        if form.path.parent != work:
            shutil.copyfile(form.path, work / ENGINES[form.engine].path)


def _lite_or_none(
    product: ExportJob, endpoints: Endpoints | None, work: Path, place: Path, images: Images, reference: Scores
) -> tuple[list[_Variant], dict[str, str]]:
    """LiteRT's variants (see `_lite_variants`). An ONNX file is served without them when they cannot be made of it, or
    do not score as it does."""
    if LITE not in product.engines:
        return [], {}
    try:
        return _lite_variants(product, endpoints, work, place, images, reference)
    except (ExportError, SourceError) as exc:
        if ONNX not in product.engines:
            raise
        say(f"{LITE} is left out: {exc}")
        return [], {}


def _lite_variants(
    product: ExportJob, endpoints: Endpoints | None, work: Path, place: Path, images: Images, reference: Scores
) -> tuple[list[_Variant], dict[str, str]]:
    """Make LiteRT's variants in the folder `place`, the simplest first; also returns why others cannot be made."""
    signature, trial = product.signature, product.trial
    if endpoints is None:
        if not (work / ENGINES[LITE].path).exists():
            raise SourceError(f"{product.source.origin} has no LiteRT form")
        path = (work / ENGINES[LITE].path).rename(place / ENGINES[LITE].path)
        return [_Variant(LITE, UNCONVERTED, path, _scores(LITE, path, signature, images))], {}
    forms: list[_Variant] = []
    impossible: dict[str, str] = {}
    for variant in VARIANTS if trial else VARIANTS[:1]:
        path = place / f"{variant}.tflite"
        say(f"{variant}: converting the model and scoring {len(images):,} images")
        try:
            samples = trial.samples if trial else images
            path.write_bytes(convert(work / ENGINES[SAVED].path, endpoints, variant, samples))
            scores = _scores(LITE, path, signature, images)
        except (ExportError, ArtifactError, RuntimeError, ValueError) as exc:  # LiteRT raises the last two
            if not forms:
                raise SourceError(
                    f"{product.source.origin} cannot be a LiteRT model: {reason(exc)}; "
                    "leave it out with --engines savedmodel"
                ) from exc
            impossible[variant] = reason(exc)
            say(f"{variant} cannot be made: {reason(exc)}")
            continue
        if not forms:
            _say_parity(LITE, check_parity(LITE, scores, reference, signature.cut))
        forms.append(_Variant(LITE, variant, path, scores))
    return forms, impossible


def _onnx_variants(
    product: ExportJob, work: Path, place: Path, images: Images, reference: Scores
) -> tuple[list[_Variant], dict[str, str]]:
    """The ONNX file of the artifact and, where there are representative images, its int8 variant in `place`; also
    returns why that cannot be made."""
    forms = _unconverted(ONNX, product, work, images, reference)
    if not forms or not product.trial:
        return forms, {}
    from model.training.export.onnx_int8 import write_int8  # here, because it needs the packages onnx and onnxruntime

    path = place / f"{INT8}.onnx"
    say(f"{ONNX} {INT8}: converting the model and scoring {len(images):,} images")
    try:
        write_int8(forms[0].path, product.trial.samples, path)
        return [*forms, _Variant(ONNX, INT8, path, _scores(ONNX, path, product.signature, images))], {}
    except (ExportError, ArtifactError, RuntimeError, ValueError) as exc:
        say(f"{ONNX} {INT8} cannot be made: {reason(exc)}")
        return forms, {INT8: reason(exc)}


def _unconverted(engine: str, product: ExportJob, work: Path, images: Images, reference: Scores) -> list[_Variant]:
    """Score the SavedModel or the ONNX file in `work`, or remove it when it was not requested."""
    path = work / ENGINES[engine].path
    if engine not in product.engines:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return []
    say(f"{engine}: scoring {len(images):,} images")
    scores = _scores(engine, path, product.signature, images)
    _say_parity(engine, check_parity(engine, scores, reference, product.signature.cut))
    return [_Variant(engine, UNCONVERTED, path, scores)]


def _judged(form: _Variant, speed: Speed, reference: Scores, product: ExportJob) -> Candidate:
    truth = product.trial.truth if product.trial else None
    agreement, drop = faithfulness(form.scores, reference, truth, product.signature.cut)
    lost = "" if drop is None else f"drop {drop:.2%}, "
    named = f"{form.engine} {form.variant or 'unconverted'}"
    say(f"{named}: agreement {agreement:.2%}, {lost}{speed.images_per_second:,.1f} images/s")
    return Candidate(form.variant, form.path.stat().st_size, agreement, drop, speed)


def _scores(engine: str, path: Path, signature: Signature, images: Images) -> Scores:
    opened = open_engine(engine, path, signature)
    try:
        return score_all(opened, images)
    finally:
        opened.close()


def _say_parity(name: str, parity: Parity) -> None:
    say(f"{name}: scores differ by {parity.max_difference:.1e} from the model's")
