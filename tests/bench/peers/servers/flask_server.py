"""The older systems' shape over HTTP: Flask, and `model.predict` of one image at a time."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

from tests.bench.peers.servers.served import KerasNetwork

app = Flask(__name__)
network = KerasNetwork()


@app.post("/predict")
def predict() -> dict[str, Any]:
    return network.answer(request.get_data())
