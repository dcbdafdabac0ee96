"""Models and images for the peers: the yardstick with small images, and a network for photos with photos."""

from __future__ import annotations

from collections.abc import Sequence

from model.artifact.load import ENGINES, load_engine, read_artifact
from model.predictor import Predictor
from tests.bench.peers.turn import Case
from tests.bench.subjects import subjects

_GARMENTS, _PHOTOS = 1000, 100


def cases(models: Sequence[str]) -> dict[str, Case]:
    """The cases that are available here, by name. Prints to stderr why others are not."""
    found = {}
    for subject in subjects(list(models), list(ENGINES)):
        images = subject.make_images(_GARMENTS if subject.small else _PHOTOS)
        _, engine = load_engine(read_artifact(subject.artifact), "litert")
        predictor = Predictor(engine)
        (best,) = predictor.predict(predictor.prepare(images[0]), 1)
        engine.close()
        found[subject.name] = Case(subject.artifact, images, best.label, best.score)
    return found
