"""`python -m tests.bench.imports.cold_start ARTIFACT ENGINE` loads a model and scores an image, as a worker does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from model.artifact.load import load_engine, read_artifact


def main(folder: str, name: str) -> None:
    artifact = read_artifact(Path(folder))
    _, engine = load_engine(artifact, name)
    given = artifact.signature
    engine.score(np.zeros((1, given.height, given.width, given.channels), given.dtype))


if __name__ == "__main__":
    main(*sys.argv[1:])
