"""The client's commands against the whole twin: their output, and that no resources remain."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import storage
from PIL import Image

from infra.local.topology import Topology
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine

STANDING = {each.name for each in Topology.read().subscriptions}


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def large(tmp_path: Path, samples: Path) -> Path:
    """An image above the inline limit: a sample with trailing bytes that decoders do not read."""
    path = tmp_path / "large.jpg"
    path.write_bytes((samples / "trouser.jpg").read_bytes() + bytes(1_000_001))
    return path


def test_publish_prints_a_table(cli: CommandLine, samples: Path) -> None:
    code, out, err = cli.run("publish", str(samples))
    heading, *table = out.splitlines()
    assert code == 0 and heading.split() == ["file", "label", "score", "ms"] and len(table) == 10
    assert re.search(r"trouser\.jpg +Trouser +[01]\.\d{4} +\d+$", out, re.M)
    assert err.endswith("10 of 10 answered; left out of folders: 3 .py, 1 .csv\n")


def test_real_test_images_through_every_entry_point(cli: CommandLine, shared_data: Path, tmp_path: Path) -> None:
    import gzip

    images = gzip.decompress((shared_data / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    for number in range(5):
        Image.frombytes("L", (28, 28), images[16 + 784 * number :][:784]).save(tmp_path / f"{number}.png")
    answers = {}
    for entry_point in ("publish", "upload", "predict"):
        code, lines = cli.lines(entry_point, str(tmp_path), "--top-k", "2")
        assert code == 0
        answers[entry_point] = {Path(line["file"]).name: line["response"]["predictions"] for line in lines}
    assert answers["publish"] == answers["upload"] == answers["predict"]
    assert all(len(predictions) == 2 for predictions in answers["publish"].values()) and len(answers["publish"]) == 5
    # The first test image is an ankle boot, the second a pullover, the third and fourth trousers.
    assert answers["publish"]["0.png"][0]["label"] == "Ankle boot"
    assert answers["publish"]["2.png"][0]["label"] == "Trouser"


def test_json_has_a_line_an_image(cli: CommandLine, samples: Path) -> None:
    code, [line] = cli.lines("publish", str(samples / "bag.bmp"), "--top-k", "1")
    assert code == 0 and line["file"].endswith("bag.bmp") and line["problem"] is None and line["ms"] > 0
    assert line["response"]["request_id"] == line["request_id"]
    assert line["response"]["source"] == {"filename": "bag.bmp", "image_uri": None}
    assert [each["label"] for each in line["response"]["predictions"]] == ["Bag"]


def test_a_large_image_is_sent_by_reference_automatically(cli: CommandLine, large: Path) -> None:
    code, [line] = cli.lines("publish", str(large))
    assert code == 0 and line["response"]["predictions"][0]["label"] == "Trouser"
    uri = line["response"]["source"]["image_uri"]
    assert re.fullmatch(rf"gs://payloads/[0-9a-f]{{32}}/{line['request_id']}/large\.jpg#\d+", uri)


def test_without_a_bucket_only_the_large_one_fails(
    cli: CommandLine, large: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAYLOAD_BUCKET")
    code, out, err = cli.run("publish", str(large), str(samples / "bag.bmp"))
    assert code == 1 and "Bag" in out and "--bucket, or set PAYLOAD_BUCKET" in out
    assert err == "1 of 2 answered\n"


def test_an_upload_keeps_its_path_and_its_reply(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    deep = tmp_path / "in" / "deep" / "café #1.jpg"
    deep.parent.mkdir(parents=True)
    deep.write_bytes((samples / "trouser.jpg").read_bytes())
    code, [line] = cli.lines("upload", str(tmp_path / "in"), "--prefix", "shop/", "--expires-in", "60")
    assert code == 0 and line["response"]["predictions"][0]["label"] == "Trouser"
    assert re.fullmatch(r"uploads/shop/deep/café #1\.jpg#\d+", line["request_id"])
    with storage.Client() as client:
        blob = client.bucket("uploads").get_blob("shop/deep/café #1.jpg")
    assert {"reply_to", "expires_at"} <= set(blob.metadata) and blob.content_type == "image/jpeg"


def test_an_error_response_ends_with_1(cli: CommandLine, samples: Path, root: Path) -> None:
    for words in (
        ["publish", str(samples / "bag.bmp"), str(root / "README.md")],
        ["upload", str(root / "README.md")],
        ["predict", str(root / "README.md")],
    ):
        code, out, err = cli.run(*words)
        assert code == 1 and "invalid_image: " in out and "1 with an error" in err
    code, [line] = cli.lines("publish", str(samples / "bag.bmp"), "--model", "resnet")
    assert code == 1 and line["response"]["error"]["code"] == "unknown_model"


def test_missing_responses_are_named_and_end_with_1(cli: CommandLine, samples: Path) -> None:
    topic = cli.topic("void")
    code, out, err = cli.run("publish", str(samples / "bag.bmp"), "--topic", topic, "--timeout", "3")
    assert code == 1 and "no answer within 3 s" in out
    assert re.search(r"no answer within 3 s: .*bag\.bmp \(request [0-9a-f]{32}\)\n0 of 1 answered\n", err)
    assert re.search(r"\nto go on:   predictions wait \S+\nto give up: predictions cancel \S+\n$", err)
    cli.cancel_last()


def test_a_missing_topic_is_reported_for_each_file_in_json(cli: CommandLine, samples: Path) -> None:
    code, lines = cli.lines("publish", str(samples), "--topic", "nope")
    assert code == 1 and len(lines) == 10
    assert all(line["problem"].startswith("it could not be published: NotFound") for line in lines)


def test_a_missing_bucket_is_reported_for_each_file(cli: CommandLine, samples: Path) -> None:
    code, [line] = cli.lines("upload", str(samples / "bag.bmp"), "--bucket", "nope")
    assert code == 1 and "NotFound" in line["problem"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_names_the_unanswered_and_how_to_go_on(
    cli: CommandLine, samples: Path, root: Path, number: signal.Signals
) -> None:
    topic = cli.topic(f"void-{number.name}")
    command = [sys.executable, "-m", "client", "publish", str(samples / "bag.bmp"), "--topic", topic]
    requests = cli.subscription("asked", topic)
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        cli.message(requests)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch(
        r"(?:no answer for 5 s: .*\n)?interrupted; 1 unanswered\n  unanswered: .*bag\.bmp \(request [0-9a-f]{32}\)\n"
        r"the worker still scores what was sent, and the next command waits behind it\n"
        r"to go on:   predictions wait (\S+)\nto give up: predictions cancel \1\n",
        err,
    )
    cli.cancel_last()
    cli.subscriber.delete_subscription(subscription=requests)
    assert cli.subscriptions() == STANDING


def test_a_closed_pipe_ends_the_command_quietly(cli: CommandLine, samples: Path, root: Path) -> None:
    command = [sys.executable, "-m", "client", "publish", "--json", str(samples)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1 and "Traceback" not in err and "Exception" not in err
    cli.cancel_last()


def test_watch_shows_the_responses_of_all_clients(cli: CommandLine, samples: Path, root: Path) -> None:
    command = [sys.executable, "-m", "client", "watch", "--json", "--limit", "3"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stderr.readline().startswith("watching projects/local/subscriptions/")
        assert cli.run("publish", str(samples / "bag.bmp"), str(samples / "coat.tif"))[0] == 0
        assert cli.run("upload", str(samples / "sandal.gif"))[0] == 0
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    seen = [json.loads(line) for line in out.splitlines()]
    assert {each["predictions"][0]["label"] for each in seen} == {"Bag", "Coat", "Sandal"}


def test_hostile_file_names(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    evil = tmp_path / "[red]\x1b[31m\nbag\udcff.bmp"
    evil.write_bytes((samples / "bag.bmp").read_bytes())
    for entry_point in ("publish", "upload", "predict"):
        code, out, _ = cli.run(entry_point, str(evil))
        assert code == 0 and "[red]\\x1b[31m\\nbag\\udcff.bmp" in out and "\x1b" not in out
        assert len(out.splitlines()) == 2


def test_the_demo(shared_data: Path, root: Path) -> None:
    command = [sys.executable, "-m", "infra.local.demo"]
    environ = os.environ | {"SHARED": str(shared_data.parent)}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "images: the first Fashion-MNIST test image of each class (found on this machine)" in done.stdout
    for entry_point in ("topic", "bucket", "HTTP"):
        assert re.search(
            rf"^{entry_point}: 10 of 10 answered, (8|9|10) of 10 right, in \d+\.\d\d s$", done.stdout, re.M
        )
        assert (
            len(re.findall(rf"^{entry_point} +\S+\.png .+ (?:right|wrong) [01]\.\d{{4}} +\d+$", done.stdout, re.M))
            == 10
        )
