"""The client against the whole twin: what a person types, what comes back, and what is left behind (nothing)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1, storage
from PIL import Image

from client.__main__ import main
from functions.contract import Error, Response, decode_response, encode_response, response_attributes
from infra.local.twin import Twin
from model.labels import Prediction

PROJECT = "local"
STANDING = {"req_predict-sub", "res_predict-sub", "dead_predict-sub", "dead_predict-announce"}


@dataclass(frozen=True, slots=True)
class Desk:
    """The client's commands, and a look behind them with stock clients."""

    capsys: pytest.CaptureFixture[str]
    publisher: Any
    subscriber: Any

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(words, os.environ)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def lines(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self.run(*words, "--json")
        return code, [json.loads(line) for line in out.splitlines()]

    def subscriptions(self) -> set[str]:
        return {
            each.name.rpartition("/")[2] for each in self.subscriber.list_subscriptions(project=f"projects/{PROJECT}")
        }

    def topic(self, name: str) -> str:
        self.publisher.create_topic(name=f"projects/{PROJECT}/topics/{name}")
        return name

    def subscription(self, name: str, topic: str, **settings: object) -> str:
        path = f"projects/{PROJECT}/subscriptions/{name}"
        request = {"name": path, "topic": f"projects/{PROJECT}/topics/{topic}", **settings}
        self.subscriber.create_subscription(request=request)
        return path


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with Twin(worker="push", project=PROJECT, log_path=tmp_path_factory.mktemp("twin") / "worker.log") as running:
        yield running


@pytest.fixture
def desk(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    made = Desk(capsys, publisher, subscriber)
    before = made.subscriptions()
    yield made
    assert made.subscriptions() == before, "a subscription was left behind"
    publisher.stop()
    publisher.transport.close()
    subscriber.close()


@pytest.fixture
def samples(root: Path) -> Path:
    return root / "client" / "samples"


@pytest.fixture
def large(tmp_path: Path, samples: Path) -> Path:
    """A picture over the inline limit: a sample with a long tail that decoders do not read."""
    path = tmp_path / "large.jpg"
    path.write_bytes((samples / "trouser.jpg").read_bytes() + bytes(1_000_001))
    return path


def test_publish_prints_a_table(desk: Desk, samples: Path) -> None:
    code, out, err = desk.run("publish", str(samples))
    heading, *table = out.splitlines()
    assert code == 0 and heading.split() == ["file", "label", "score", "ms"] and len(table) == 10
    assert re.search(r"trouser\.jpg +Trouser +[01]\.\d{4} +\d+$", out, re.M)
    assert err == "10 of 10 answered\n"


def test_real_test_images_through_every_door(desk: Desk, shared_data: Path, tmp_path: Path) -> None:
    import gzip

    images = gzip.decompress((shared_data / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    for number in range(5):
        Image.frombytes("L", (28, 28), images[16 + 784 * number :][:784]).save(tmp_path / f"{number}.png")
    answers = {}
    for door in ("publish", "upload", "predict"):
        code, lines = desk.lines(door, str(tmp_path), "--top-k", "2")
        assert code == 0
        answers[door] = {Path(line["file"]).name: line["response"]["predictions"] for line in lines}
    assert answers["publish"] == answers["upload"] == answers["predict"]
    assert all(len(predictions) == 2 for predictions in answers["publish"].values()) and len(answers["publish"]) == 5
    # The first test image is an ankle boot, the second a pullover, the third and fourth trousers.
    assert answers["publish"]["0.png"][0]["label"] == "Ankle boot"
    assert answers["publish"]["2.png"][0]["label"] == "Trouser"


def test_json_has_a_line_an_image(desk: Desk, samples: Path) -> None:
    code, [line] = desk.lines("publish", str(samples / "bag.bmp"), "--top-k", "1")
    assert code == 0 and line["file"].endswith("bag.bmp") and line["problem"] is None and line["ms"] > 0
    assert line["response"]["request_id"] == line["request_id"]
    assert line["response"]["source"] == {"filename": "bag.bmp", "image_uri": None}
    assert [each["label"] for each in line["response"]["predictions"]] == ["Bag"]


def test_a_large_image_goes_by_reference_by_itself(desk: Desk, large: Path) -> None:
    code, [line] = desk.lines("publish", str(large))
    assert code == 0 and line["response"]["predictions"][0]["label"] == "Trouser"
    uri = line["response"]["source"]["image_uri"]
    assert re.fullmatch(rf"gs://payloads/[0-9a-f]{{32}}/{line['request_id']}/large\.jpg#\d+", uri)


def test_without_a_bucket_only_the_large_one_fails(
    desk: Desk, large: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAYLOAD_BUCKET")
    code, out, err = desk.run("publish", str(large), str(samples / "bag.bmp"))
    assert code == 1 and "Bag" in out and "--bucket, or set PAYLOAD_BUCKET" in out
    assert err == "1 of 2 answered\n"


def test_an_upload_keeps_its_path_and_its_reply(desk: Desk, samples: Path, tmp_path: Path) -> None:
    deep = tmp_path / "in" / "deep" / "café #1.jpg"
    deep.parent.mkdir(parents=True)
    deep.write_bytes((samples / "trouser.jpg").read_bytes())
    code, [line] = desk.lines("upload", str(tmp_path / "in"), "--prefix", "shop/", "--expires-in", "60")
    assert code == 0 and line["response"]["predictions"][0]["label"] == "Trouser"
    assert re.fullmatch(r"uploads/shop/deep/café #1\.jpg#\d+", line["request_id"])
    with storage.Client() as client:
        blob = client.bucket("uploads").get_blob("shop/deep/café #1.jpg")
    assert {"reply_to", "expires_at"} <= set(blob.metadata) and blob.content_type == "image/jpeg"


def test_an_error_response_ends_with_1(desk: Desk, samples: Path, root: Path) -> None:
    for words in (
        ["publish", str(samples / "bag.bmp"), str(root / "README.md")],
        ["upload", str(root / "README.md")],
        ["predict", str(root / "README.md")],
    ):
        code, out, err = desk.run(*words)
        assert code == 1 and "invalid_image: " in out and "1 with an error" in err
    code, [line] = desk.lines("publish", str(samples / "bag.bmp"), "--model", "resnet")
    assert code == 1 and line["response"]["error"]["code"] == "unknown_model"


def test_the_missing_are_named_and_end_with_1(desk: Desk, samples: Path) -> None:
    topic = desk.topic("void")
    code, out, err = desk.run("publish", str(samples / "bag.bmp"), "--topic", topic, "--timeout", "0.2")
    assert code == 1 and "no answer within 0.2 s" in out
    assert re.search(r"no answer within 0\.2 s: .*bag\.bmp \(request [0-9a-f]{32}\)\n0 of 1 answered\n$", err)


def test_no_topic_is_said_per_file(desk: Desk, samples: Path) -> None:
    code, lines = desk.lines("publish", str(samples), "--topic", "nope")
    assert code == 1 and len(lines) == 10
    assert all(line["problem"].startswith("it could not be published: NotFound") for line in lines)


def test_no_bucket_is_said_per_file(desk: Desk, samples: Path) -> None:
    code, [line] = desk.lines("upload", str(samples / "bag.bmp"), "--bucket", "nope")
    assert code == 1 and "NotFound" in line["problem"]


def test_not_waiting_prints_the_ids_of_requests_that_are_answered(desk: Desk, samples: Path) -> None:
    path = desk.subscription("kept", "res_predict")
    code, out, _ = desk.run("publish", str(samples / "bag.bmp"), str(samples / "coat.tif"), "--no-wait")
    assert code == 0
    ids = dict(reversed(line.split("\t")) for line in out.splitlines())
    assert set(ids) == {str(samples / "bag.bmp"), str(samples / "coat.tif")}
    answered: set[str] = set()
    while answered < set(ids.values()):
        for got in desk.subscriber.pull(subscription=path, max_messages=10, timeout=20).received_messages:
            answered.add(decode_response(got.message.data).request_id)
            assert "reply_to" not in got.message.attributes
    desk.subscriber.delete_subscription(subscription=path)


@pytest.mark.parametrize("filter_", ["", 'attributes.reply_to = "desk-7"'])
def test_a_subscription_made_beforehand_is_used_and_left(desk: Desk, samples: Path, filter_: str) -> None:
    path = desk.subscription("made", "res_predict", filter=filter_)
    code, [line] = desk.lines("publish", str(samples / "bag.bmp"), "--subscription", "made")
    assert code == 0 and line["response"]["status"] == "ok"
    desk.subscriber.delete_subscription(subscription=path)


def test_a_subscription_that_is_not_there_is_said(desk: Desk, samples: Path) -> None:
    code, out, err = desk.run("publish", str(samples / "bag.bmp"), "--subscription", "nope")
    assert code == 1 and not out and "NotFound" in err


def answer_by_hand(desk: Desk, requests: str, *answers: Response | bytes, reply_to: str | None = None) -> None:
    """Wait for one request and publish these answers to it, each under its id and to its sender."""
    got: list[Any] = []
    while not got:
        got = list(desk.subscriber.pull(subscription=requests, max_messages=1, timeout=20).received_messages)
    asked = got[0].message.attributes
    desk.subscriber.acknowledge(subscription=requests, ack_ids=[got[0].ack_id])
    for answer in answers:
        if isinstance(answer, bytes):
            data, attributes = answer, {"reply_to": asked["reply_to"]}
        else:
            mine = Response(
                asked["request_id"], answer.predictions, answer.error, reply_to=reply_to or asked["reply_to"]
            )
            data, attributes = encode_response(mine), response_attributes(mine)
        desk.publisher.publish(f"projects/{PROJECT}/topics/res_predict", data, **attributes).result(10)


def test_duplicates_and_what_is_no_response_are_dropped(desk: Desk, samples: Path) -> None:
    requests = desk.subscription("by-hand", desk.topic("by-hand"))
    first, second = (Response("", (Prediction(label, 1.0),)) for label in ("first", "second"))
    late = Response("", error=Error("unavailable", "set aside"))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer_by_hand, desk, requests, b"not a response", first, first, second, late)
        code, lines = desk.lines("publish", str(samples / "bag.bmp"), "--topic", "by-hand", "--timeout", "20")
        done.result(20)
    assert code == 0 and [line["response"]["predictions"][0]["label"] for line in lines] == ["first"]
    desk.subscriber.delete_subscription(subscription=requests)


def test_answers_for_somebody_else_are_not_ours(desk: Desk, samples: Path) -> None:
    """An unfiltered subscription, as on a server that applies no filters."""
    requests = desk.subscription("by-hand-2", desk.topic("by-hand-2"))
    unfiltered = desk.subscription("unfiltered", "res_predict")
    stranger = Response("", (Prediction("stranger", 1.0),))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer_by_hand, desk, requests, stranger, reply_to="somebody else")
        words = ["--topic", "by-hand-2", "--subscription", "unfiltered", "--timeout", "1"]
        code, [line] = desk.lines("publish", str(samples / "bag.bmp"), *words)
        done.result(20)
    assert code == 1 and line["response"] is None and line["problem"] == "no answer within 1 s"
    for path in (requests, unfiltered):
        desk.subscriber.delete_subscription(subscription=path)


def test_a_stream_that_ends_is_said_at_once(desk: Desk, samples: Path) -> None:
    requests = desk.subscription("by-hand-3", desk.topic("by-hand-3"))

    def sabotage() -> None:
        desk.subscriber.pull(subscription=requests, max_messages=1, timeout=20)
        [name] = [name for name in desk.subscriptions() if re.fullmatch("res_predict-[0-9a-f]{32}", name)]
        desk.subscriber.delete_subscription(subscription=f"projects/{PROJECT}/subscriptions/{name}")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(sabotage)
        began = time.monotonic()
        code, [line] = desk.lines("publish", str(samples / "bag.bmp"), "--topic", "by-hand-3", "--timeout", "60")
        done.result(20)
    assert code == 1 and line["problem"].startswith("responses can no longer be received: NotFound")
    assert time.monotonic() - began < 30
    desk.subscriber.delete_subscription(subscription=requests)


def test_the_own_subscription_is_filtered_and_expires(desk: Desk, samples: Path) -> None:
    topic = desk.topic("void-2")
    with ThreadPoolExecutor(1) as pool:
        words = ["publish", str(samples / "bag.bmp"), "--topic", topic, "--timeout", "1.5"]
        done = pool.submit(main, words, os.environ)
        own: list[str] = []
        while not own and not done.done():
            own = [name for name in desk.subscriptions() if re.fullmatch("res_predict-[0-9a-f]{32}", name)]
        found = desk.subscriber.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/{own[0]}")
        assert done.result(20) == 1
    assert found.filter == f'attributes.reply_to = "{own[0].removeprefix("res_predict-")}"'
    assert found.expiration_policy.ttl.total_seconds() == 86_400
    assert 600 <= found.message_retention_duration.total_seconds() <= 86_400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_names_the_unanswered_and_leaves_nothing(
    desk: Desk, samples: Path, root: Path, number: signal.Signals
) -> None:
    topic = desk.topic(f"void-{number.name}")
    command = [sys.executable, "-m", "client", "publish", str(samples / "bag.bmp"), "--topic", topic]
    requests = desk.subscription("asked", topic)
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        desk.subscriber.pull(subscription=requests, max_messages=1, timeout=20)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch(r"interrupted; 1 unanswered\n  unanswered: .*bag\.bmp \(request [0-9a-f]{32}\)\n", err)
    desk.subscriber.delete_subscription(subscription=requests)
    assert desk.subscriptions() == STANDING


def test_a_reader_that_goes_away_is_no_drama(desk: Desk, samples: Path, root: Path) -> None:
    command = [sys.executable, "-m", "client", "publish", "--json", str(samples)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1 and "Traceback" not in err and "Exception" not in err


def test_watch_shows_everybodys_responses(desk: Desk, samples: Path, root: Path) -> None:
    command = [sys.executable, "-m", "client", "watch", "--json", "--limit", "3"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stderr.readline().startswith("watching projects/local/subscriptions/")
        assert desk.run("publish", str(samples / "bag.bmp"), str(samples / "coat.tif"))[0] == 0
        assert desk.run("upload", str(samples / "sandal.gif"))[0] == 0
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    seen = [json.loads(line) for line in out.splitlines()]
    assert {each["predictions"][0]["label"] for each in seen} == {"Bag", "Coat", "Sandal"}


def test_hostile_file_names(desk: Desk, samples: Path, tmp_path: Path) -> None:
    evil = tmp_path / "[red]\x1b[31m\nbag\udcff.bmp"
    evil.write_bytes((samples / "bag.bmp").read_bytes())
    for door in ("publish", "upload", "predict"):
        code, out, _ = desk.run(door, str(evil))
        assert code == 0 and "[red]\\x1b[31m\\nbag\\udcff.bmp" in out and "\x1b" not in out
        assert len(out.splitlines()) == 2


def test_the_demo(shared_data: Path, root: Path) -> None:
    command = [sys.executable, "-m", "infra.local.demo"]
    environ = os.environ | {"SHARED": str(shared_data.parent)}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "images: the first Fashion-MNIST test image of each class (found on this machine)" in done.stdout
    for door in ("topic", "bucket", "HTTP"):
        assert re.search(rf"^{door}: 10 of 10 answered, (8|9|10) of 10 right, in \d+\.\d\d s$", done.stdout, re.M)
        assert len(re.findall(rf"^{door} +\S+\.png .+ (?:right|wrong) [01]\.\d{{4}} +\d+$", done.stdout, re.M)) == 10
