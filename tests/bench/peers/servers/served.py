"""The model that all peers serve, and our decoder and recipe before it: what differs is what is around them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.artifact.load import ENGINES, load_engine, read_artifact
from model.labels import Prediction
from model.predictor import Predictor, rank
from model.preprocessing.recipe import preprocess

TOP_K = 5


def predictor() -> Predictor:
    """The artifact at $ARTIFACT on its engine $ENGINE."""
    return Predictor(load_engine(read_artifact(Path(os.environ["ARTIFACT"])), os.environ["ENGINE"])[1])


def said(predictions: tuple[Prediction, ...]) -> dict[str, Any]:
    """The answer that every peer gives, which is a part of ours."""
    return {"predictions": [asdict(each) for each in predictions]}


class KerasNetwork:
    """The artifact's SavedModel in Keras, asked as the older systems asked: `model.predict`, one image at a time."""

    def __init__(self) -> None:
        import keras

        artifact = read_artifact(Path(os.environ["ARTIFACT"]))
        folder = artifact.folder / ENGINES["savedmodel"].path
        self._signature = artifact.signature
        # Keras 3's way to have what load_model read before: "TFSMLayer", Keras API documentation.
        self._model = keras.Sequential([keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")])

    def answer(self, image: bytes) -> dict[str, Any]:
        """What is to be seen in one image file."""
        (scores,) = self._model.predict(preprocess(image, self._signature), verbose=0).values()
        return said(rank(scores[0], self._signature.labels, TOP_K))
