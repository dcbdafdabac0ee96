"""BentoML with adaptive batching: `bentoml serve tests.bench.peers.servers.bentoml_service:Classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from tests.bench.peers.servers.served import TOP_K, predictor, said


@bentoml.service(workers=1, traffic={"timeout": 60})
class Classifier:
    """Decodes and scores a batch of files at once."""

    def __init__(self) -> None:
        self._predictor = predictor()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, images: list[Path]) -> list[dict[str, Any]]:
        prepared = [self._predictor.prepare(each.read_bytes()) for each in images]
        return [said(each) for each in self._predictor.predict_each(prepared, TOP_K)]
