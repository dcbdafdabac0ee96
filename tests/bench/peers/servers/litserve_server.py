"""LitServe with dynamic batching: `python -m tests.bench.peers.servers.litserve_server PORT`."""

from __future__ import annotations

import base64
import sys

import litserve

from model.engines.base import Images
from model.labels import Prediction
from tests.bench.peers.servers.served import TOP_K, predictor, said


class Classifier(litserve.LitAPI):
    """Decodes and scores in LitServe's inference worker."""

    def setup(self, device: str) -> None:
        self._predictor = predictor()

    def decode_request(self, request):  # without a type: it would be the API's schema
        return self._predictor.prepare(base64.b64decode(request["image"]))

    def batch(self, inputs: list[Images]) -> list[Images]:
        return inputs

    def predict(self, x: list[Images]) -> list[tuple[Prediction, ...]]:
        return self._predictor.predict_each(x, TOP_K)

    def unbatch(self, output: list[tuple[Prediction, ...]]) -> list[tuple[Prediction, ...]]:
        return output

    def encode_response(self, output):
        return said(output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Classifier(max_batch_size=8, batch_timeout=0.002), accelerator="cpu", workers_per_device=1, fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
