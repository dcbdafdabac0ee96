"""Chooses among the ONNX files of a folder, which are one network of several precisions, by variant selection."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from model.artifact.load import ENGINES
from model.engines.base import Images, Scores, Signature
from model.engines.outputs import as_scores
from model.errors import ArtifactError
from model.training.errors import SourceError
from model.training.export.artifact_writer import write_manifest, write_signature
from model.training.export.benchmark import Target, measure_speeds
from model.training.export.calibration_data import read_calibration_folder
from model.training.export.progress import say
from model.training.export.selection import Candidate, choose, faithfulness
from model.training.export.source import Source

_ENGINE = "onnx"

# Opens a file: its model and its signature.
Open = Callable[[Path], tuple[Source, Signature]]


def choose_file(files: Sequence[Path], names: Sequence[str], data: Path, opened: Open, *, quick: bool) -> Path:
    """The file to import: the fastest one that predicts like the first, which is the network itself.

    Prints how far each agrees on the images of the folder `data`, and which cannot be used and why. Raises SourceError
    when the first one cannot be used, and DatasetError for the folder.
    """
    original, signature = opened(files[0])
    trial = read_calibration_folder(data, signature)
    reference = _scores(original, trial.images, signature)
    with tempfile.TemporaryDirectory(prefix="files-") as place:
        usable, targets, scored = [], [], []
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            try:
                source, own = (original, signature) if number == 0 else opened(file)
                scored.append(_scores(source, trial.images, own))
            except (SourceError, ArtifactError) as exc:
                if number == 0:
                    raise
                say(f"{name} is left out: {exc}")
                continue
            targets.append(_target(source, own, Path(place, str(number))))
            usable.append((file, name))
        speeds = measure_speeds(targets, rounds=1 if quick else 5)
        candidates = []
        for (_, name), target, speed, scores in zip(usable, targets, speeds, scored, strict=True):
            agreement, drop = faithfulness(scores, reference, trial.truth, signature.cut)
            candidates.append(Candidate(name, target.model.stat().st_size, agreement, drop, speed))
            say(f"{name}: agreement {agreement:.2%}, {speed.images_per_second:,.1f} images/s")
    served = choose(candidates)
    say(f"{served.variant} is imported: the fastest file that predicts like {names[0]}")
    return next(file for file, name in usable if name == served.variant)


def _scores(source: Source, images: Images, signature: Signature) -> Scores:
    return as_scores(signature.outputs, source.score(images, signature))


def _target(source: Source, signature: Signature, folder: Path) -> Target:
    """Write an artifact whose engine is measured."""
    folder.mkdir()
    source.write(folder)
    write_signature(folder, signature)
    write_manifest(folder, "measured", "1.0.0", {_ENGINE: None})
    return Target(folder, _ENGINE, folder / ENGINES[_ENGINE].path)
