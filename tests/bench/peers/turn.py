"""One turn of one peer with one model: start, first response, full load, single requests, and memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.local.child import Child
from infra.local.ports import free_port
from tests.bench.cold import push_first
from tests.bench.parts import environment, pss_mb
from tests.bench.peers.catalog import Peer
from tests.bench.peers.environments import Environment
from tests.bench.peers.http_endpoint import HttpEndpoint
from tests.bench.peers.loop import PATIENCE_S, closed_loop, per_s, percentile
from tests.bench.peers.running import running
from tests.bench.peers.topic_entry_point import TopicEntryPoint
from tests.bench.rig import push_to, twin

UNITS = {
    "cold start": "s",
    "rate": "images/s",
    "p50": "ms",
    "p99": "ms",
    "p50 at full load": "ms",
    "p99 at full load": "ms",
    "memory": "MB",
}
Ask = Callable[[bytes], object]

_POLL_S = 0.01
_BULK = 3000
_BULK_BYTES = 12_000_000
_NEAR = 0.05
"""By how much a score may differ: the artifact's LiteRT form is quantised, its SavedModel is not."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model for the peers, the images to send, and the best label and score of the first image."""

    artifact: Path
    images: Sequence[bytes]
    label: str
    score: float

    def check(self, answer: Mapping[str, Any]) -> None:
        """Raise OSError unless the answer about the first image is this model's."""
        best = answer["predictions"][0]
        if best["label"] != self.label or abs(best["score"] - self.score) > _NEAR:
            raise OSError(f"the answer is {best}; this model says {self.label} with {self.score}")


def turn(peer: Peer, where: Environment, case: Case, seconds: float) -> dict[str, float]:
    """Figures by their names in UNITS. Raises ChildFailed, OSError, TimeoutError."""
    match peer.entry_point:
        case "http":
            return _http(peer, where, case, seconds)
        case "bulk":
            return _bulk(peer, where, case)
        case _:
            return _topic(peer, where, case, seconds)


def _http(peer: Peer, where: Environment, case: Case, seconds: float) -> dict[str, float]:
    port = free_port()
    start = time.perf_counter()
    with running(peer, where, case.artifact, port, {}) as server, HttpEndpoint(port, peer.wrap) as entry_point:
        answer = entry_point.first(server, case.images[0])
        first = time.perf_counter() - start
        case.check(answer)
        figures = _asked(entry_point.ask, entry_point.ask, case, peer, seconds)
        return {"cold start": first} | figures | {"memory": pss_mb(server.pid)}


def _topic(peer: Peer, where: Environment, case: Case, seconds: float) -> dict[str, float]:
    port = free_port()
    with twin() as env, environment(env), TopicEntryPoint(env["GOOGLE_CLOUD_PROJECT"]) as entry_point:
        answer = entry_point.later("first") if peer.entry_point == "push" else entry_point.publish(case.images[0])
        start = time.perf_counter()
        with running(peer, where, case.artifact, port, env) as server:
            if peer.entry_point == "push":
                push_first(port, case.images[0], "first")
            case.check(answer.result(PATIENCE_S))
            first = time.perf_counter() - start
            if peer.entry_point == "push":
                push_to(env["GOOGLE_CLOUD_PROJECT"], port)
            figures = _asked(entry_point.ask_among_many, entry_point.ask, case, peer, seconds)
            return {"cold start": first} | figures | {"memory": pss_mb(server.pid)}


def _asked(among_many: Ask, alone: Ask, case: Case, peer: Peer, seconds: float) -> dict[str, float]:
    many = closed_loop(among_many, case.images, peer.under_way, seconds)
    one = many if peer.under_way == 1 else closed_loop(alone, case.images, 1, seconds / 2)
    return {
        "rate": per_s(many.moments),
        "p50": 1000 * percentile(one.delays_s, 50),
        "p99": 1000 * percentile(one.delays_s, 99),
        "p50 at full load": 1000 * percentile(many.delays_s, 50),
        "p99 at full load": 1000 * percentile(many.delays_s, 99),
    }


def _bulk(peer: Peer, where: Environment, case: Case) -> dict[str, float]:
    """From files to files; the first tenth, in which batches grow, is not counted."""
    with TemporaryDirectory() as folder:
        names, out = Path(folder, "names.txt"), Path(folder, "answers")
        count = min(_BULK, _BULK_BYTES // len(case.images[0]))
        paths = [Path(folder, f"{number}.image") for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(case.images[number % len(case.images)])
        names.write_text("".join(f"{path}\n" for path in paths))
        start = time.perf_counter()
        with running(peer, where, case.artifact, 0, {"NAMES": str(names), "OUT": str(out)}) as pipeline:
            _until_done(pipeline)
            memory = pss_mb(pipeline.pid)
        answers = [
            json.loads(line) for part in Path(folder).glob("answers-*") for line in part.read_text().splitlines()
        ]
    if len(answers) != count:
        raise OSError(f"{len(answers)} of {count} images were answered")
    case.check(next(each for each in answers if each["image"] == str(paths[0])))
    moments = sorted(each["moment"] for each in answers)
    return {"cold start": moments[0] - start, "rate": per_s(moments[count // 10 :]), "memory": memory}


def _until_done(pipeline: Child) -> None:
    give_up = time.perf_counter() + PATIENCE_S
    while b"done" not in pipeline.log.read_bytes():
        pipeline.check()
        if time.perf_counter() > give_up:
            raise TimeoutError(f"the pipeline was not done within {PATIENCE_S:g} s")
        time.sleep(_POLL_S)
