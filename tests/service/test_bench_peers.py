"""The benchmark of the peers: its client, its arithmetic and its rows. No peer is run here."""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.local.child import Child, ChildFailed
from infra.local.ports import free_port
from tests.bench.peers.catalog import PEERS
from tests.bench.peers.environments import requirements
from tests.bench.peers.http_endpoint import HttpEndpoint, form, in_json, raw
from tests.bench.peers.loop import closed_loop, per_s, percentile
from tests.bench.peers.tables import peer_rows, peer_tables
from tests.bench.peers.turn import UNITS, Case

IMAGES = [b"one", b"two", b"three"]

LATE = """
import http.server, sys
class Late(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_POST(self):
        type(self).asked += 1
        self.send_response(503 if self.asked < 3 else 200)
        self.end_headers()
        self.wfile.write(b'[{"predictions": []}]')
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Late).serve_forever()
"""


class Echo(BaseHTTPRequestHandler):
    """Returns the type and body of each request as JSON, with 500 for the body `bad`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"type": self.headers["Content-Type"], "body": body.decode()}).encode()
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_images_are_posted_as_each_peer_takes_them(port: int) -> None:
    said = {}
    for wrap in (raw, in_json, form):
        with HttpEndpoint(port, wrap) as entry_point:
            said[wrap] = entry_point.ask(b"image")
    assert said[raw] == {"type": "application/octet-stream", "body": "image"}
    assert base64.b64decode(json.loads(said[in_json]["body"])["image"]) == b"image"
    boundary = said[form]["type"].partition("boundary=")[2]
    parts = said[form]["body"].split(f"--{boundary}")
    assert [part.partition("\r\n\r\n")[2] for part in parts] == ["", "image\r\n", ""]


def test_a_closed_loop_keeps_its_concurrency(port: int) -> None:
    asking, most, lock = 0, 0, threading.Lock()

    with HttpEndpoint(port, raw) as entry_point:

        def ask(image: bytes) -> None:
            nonlocal asking, most
            with lock:
                asking += 1
                most = max(most, asking)
            assert entry_point.ask(image)["body"] in ("one", "two", "three")
            with lock:
                asking -= 1

        heard = closed_loop(ask, IMAGES, 4, 0.2)
    assert most == 4
    assert asking == 0
    assert len(heard.moments) >= len(heard.delays_s) >= 3
    assert heard.moments == sorted(heard.moments)
    assert all(delay > 0 for delay in heard.delays_s)


def test_a_failure_ends_the_loop(port: int) -> None:
    with HttpEndpoint(port, raw) as entry_point, pytest.raises(OSError, match="the server answered 500"):
        closed_loop(entry_point.ask, [b"bad"], 2, 60)


def test_the_first_answer_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    child = Child("late", [sys.executable, "-c", LATE, str(port)], log=tmp_path / "log", cwd=tmp_path, env={})
    try:
        with HttpEndpoint(port, raw) as entry_point:
            assert entry_point.first(child, b"image") == {"predictions": []}
    finally:
        child.stop()
    with HttpEndpoint(port, raw) as entry_point, pytest.raises(ChildFailed, match="the late was killed by SIGTERM"):
        entry_point.first(child, b"image")


@pytest.mark.parametrize("moment", [lambda number: number / 100, lambda number: number // 32 * 0.32], ids=["one", "32"])
def test_bursts_do_not_distort_a_rate(moment: Callable[[int], float]) -> None:
    assert per_s([moment(number) for number in range(320)]) == pytest.approx(100, rel=0.01)


def test_percentiles_are_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7


def test_every_peer_has_pinned_versions() -> None:
    for peer in PEERS:
        lines = requirements(peer.environment).read_text().splitlines()
        packages = [line for line in lines if line and not line.startswith(("#", " "))]
        assert packages, peer.name
        for line in packages:
            assert re.match(r"[\w.\[\]-]+==[\w.]+", line), (peer.name, line)
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def test_our_worker_with_tensorflow_has_the_packages_of_the_worker(root: Path) -> None:
    ours, theirs = (
        set(re.findall(r"^([\w.-]+==.+)$", path.read_text(), re.M))
        for path in (root / "functions" / "requirements.txt", requirements("tensorflow"))
    )
    assert {name.partition("==")[0] for name in ours ^ theirs} == {"ai-edge-litert", "tensorflow"}


def test_predictions_of_another_model_are_detected() -> None:
    case = Case(Path(), IMAGES, "Bag", 0.8)
    case.check({"predictions": [{"label": "Bag", "score": 0.77}, {"label": "Coat", "score": 0.2}]})
    for label, score in (("Bag", 0.6), ("Coat", 0.8)):
        with pytest.raises(OSError, match=f"'{label}'.*this model says Bag with 0.8"):
            case.check({"predictions": [{"label": label, "score": score}]})


def test_rows_are_medians_with_their_conditions() -> None:
    taken = {("m", "ours HTTP", "rate"): [3.0, 1.0, 2.0], ("m", "Beam", "rate"): [4.0], ("m", "Beam", "p50"): [5.0]}
    rows = peer_rows(taken, UNITS, {"ours HTTP": "defaults", "Beam": "DirectRunner"})
    assert [(row["name"], row["value"], row["unit"]) for row in rows] == [
        ("peers.m.rate.ours HTTP", 2.0, "images/s"),
        ("peers.m.rate.Beam", 4.0, "images/s"),
        ("peers.m.p50.Beam", 5.0, "ms"),
    ]
    assert rows[0]["runs"] == [3.0, 1.0, 2.0]
    assert rows[0]["machine"]["words"].endswith("; defaults")
    (table,) = peer_tables(rows)
    assert [column.header for column in table.columns] == ["", "rate, images/s", "p50, ms"]
    assert [list(column.cells) for column in table.columns] == [["ours HTTP", "Beam"], ["2", "4"], ["", "5"]]
