"""The measured servers: environment, engine, entry point, and start with their documented settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.bench.parts import push_command
from tests.bench.peers.http_endpoint import Wrap, form, in_json, raw

UNDER_WAY = 32
"""Requests at a time under full load."""

_SERVERS = "tests.bench.peers.servers"

Command = Callable[[Path, int], list[str]]
"""Of the environment's `bin` and a port (of no meaning to what does not listen)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`how`: its settings in words. `wrap`: how an image is posted to it, of those over HTTP."""

    name: str
    environment: str
    engine: Literal["litert", "savedmodel"]
    entry_point: Literal["http", "push", "pull", "bulk"]
    command: Command
    how: str
    wrap: Wrap = raw
    under_way: int = UNDER_WAY
    env: Mapping[str, str] = field(default_factory=dict)


def _worker(bin: Path, port: int) -> list[str]:
    return push_command(port, bin)


def _puller(bin: Path, port: int) -> list[str]:
    return [str(bin / "python"), "-m", "functions.entrypoints.pull_worker"]


def _flask(bin: Path, port: int) -> list[str]:
    at = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
    return [str(bin / "gunicorn"), *at, f"{_SERVERS}.flask_server:app"]


def _reload(bin: Path, port: int) -> list[str]:
    return [str(bin / "python"), "-m", f"{_SERVERS}.reload_consumer"]


def _litserve(bin: Path, port: int) -> list[str]:
    return [str(bin / "python"), "-m", f"{_SERVERS}.litserve_server", str(port)]


def _bentoml(bin: Path, port: int) -> list[str]:
    at = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(bin / "bentoml"), "serve", f"{_SERVERS}.bentoml_service:Classifier", *at]


def _beam(bin: Path, port: int) -> list[str]:
    return [str(bin / "python"), "-m", f"{_SERVERS}.beam_pipeline"]


_THREADS = {"THREADS": "8"}
"""As the Dockerfile says; without it they are four for each CPU of the machine."""

_OPEN = {"HTTP_ENDPOINT": "on", "GOOGLE_CLOUD_PROJECT": "bench"} | _THREADS
_IMAGE = "as the image runs it: 1 process, batches of up to 8, no wait for company"
_PULL = "python -m functions.entrypoints.pull_worker with its defaults"
_ONE_BY_ONE = "Keras' model.predict of one image at a time"
_OUR_MODEL = "our decoder and LiteRT in it"

PEERS = (
    Peer("ours HTTP", "ours", "litert", "http", _worker, _IMAGE, env=_OPEN),
    Peer("ours push", "ours", "litert", "push", _worker, _IMAGE, env=_THREADS),
    Peer("ours pull", "ours", "litert", "pull", _puller, _PULL),
    Peer("TensorFlow HTTP", "tensorflow", "savedmodel", "http", _worker, _IMAGE, env=_OPEN),
    Peer("TensorFlow pull", "tensorflow", "savedmodel", "pull", _puller, _PULL),
    Peer("Flask", "flask", "savedmodel", "http", _flask, f"gunicorn, 1 process of 8 threads; {_ONE_BY_ONE}"),
    Peer(
        "reload",
        "reload",
        "savedmodel",
        "pull",
        _reload,
        f"a consumer that loads the model for each message; {_ONE_BY_ONE}",
        under_way=1,
    ),
    Peer(
        "LitServe",
        "litserve",
        "litert",
        "http",
        _litserve,
        f"max_batch_size=8, batch_timeout=0.002, fast_queue, 1 worker; {_OUR_MODEL}",
        wrap=in_json,
    ),
    Peer(
        "BentoML",
        "bentoml",
        "litert",
        "http",
        _bentoml,
        f"batchable, max_batch_size=32, max_latency_ms=1000, 1 worker; {_OUR_MODEL}",
        wrap=form,
        env={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer("Beam", "beam", "litert", "bulk", _beam, "RunInference on the DirectRunner, as docs/bulk.md has it"),
)
