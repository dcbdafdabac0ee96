"""The command frames against the twin: order, results, and a run that is resumed."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.gcp import Cloud
from client.results.request_tracker import RequestTracker
from client.sources.video import Cut, Video
from client.text import SendError
from client.transport.base import SendOptions
from client.transport.pubsub_publisher import PubSubPublisher
from client.transport.topic import TopicTransport
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine
from tests.videos import write_video
from tests.waiting import until


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight seconds, in the current folder; jobs have a store of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    return write_video(tmp_path / "film.mp4", range(0, 8000, 200)).relative_to(tmp_path)


def names(*seconds: int) -> list[str]:
    return [f"film.mp4@00:00:{second:02}.000.jpg" for second in seconds]


def pulled(cli: CommandLine, subscription: str, count: int) -> list[Any]:
    """The messages of an ordered subscription, each acked, so that the next ones are delivered."""
    messages, deadline = list[Any](), time.monotonic() + 60
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages"
        received = cli.subscriber.pull(subscription=subscription, max_messages=count, timeout=20).received_messages
        if received:
            cli.subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in received])
        messages += [each.message for each in received]
    return messages


def test_the_table_and_the_files_are_in_the_order_of_time(cli: CommandLine, film: Path) -> None:
    code, out, err = cli.run("frames", str(film), "--output", "run.csv", "--output", "run.jsonl")
    assert code == 0 and err.endswith("8 of 8 answered\n")
    assert re.findall(r"^film\S+", out, re.M) == names(*range(8))
    with open("run.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == names(*range(8)) and {row["status"] for row in rows} == {"ok"}
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert [line["request_id"] for line in lines] == [row["request_id"] for row in rows]


def test_requests_have_the_ordering_key_and_come_in_order(cli: CommandLine, film: Path) -> None:
    topic = cli.topic("ordered-frames")
    requests = cli.subscription("frames-in-order", topic, enable_message_ordering=True)
    code, _, _ = cli.run("frames", str(film), "--every", "0.2s", "--topic", topic, "--timeout", "3")
    assert code == 1
    messages = pulled(cli, requests, 40)
    assert {each.ordering_key for each in messages} == {"film.mp4"}
    assert [each.attributes["filename"] for each in messages] == [
        f"film.mp4@00:00:{ms // 1000:02}.{ms % 1000:03}.jpg" for ms in range(0, 8000, 200)
    ]
    cli.cancel_last()
    cli.subscriber.delete_subscription(subscription=requests)


def test_a_run_that_was_killed_is_resumed(cli: CommandLine, film: Path) -> None:
    topic = cli.topic("killed-frames")
    requests = cli.subscription("frames-asked", topic)
    code = (
        "import os\n"
        "from client.transport.topic import TopicTransport\n"
        "send = TopicTransport.send\n"
        "def limited(self, image):\n"
        "    if '@00:00:03' in image.name:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return send(self, image)\n"
        "TopicTransport.send = limited\n"
        "from client.__main__ import main\n"
        f"main(['frames', 'film.mp4', '--every', '1s', '--limit', '6', '--topic', '{topic}'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    first = pulled(cli, requests, 3)
    for message in first:  # the worker answers while no command runs
        cli.publisher.publish("projects/local/topics/req_predict", message.data, **dict(message.attributes)).result(10)
    code_, out, err = cli.run("wait", "last", "--timeout", "20")
    assert code_ == 1 and len(re.findall(r"^film\S+ +\S", out, re.M)) >= 3
    assert re.search(r"not all images of the job are known: predictions frames --resume \S+$", err, re.M)
    code_, out, err = cli.run("frames", "--resume", "last", "--timeout", "3")
    assert code_ == 1 and "3 of 6 answered" in err
    assert re.findall(r"^film\S+", out, re.M) == names(*range(6))
    second = pulled(cli, requests, 3)
    assert [each.attributes["filename"] for each in first + second] == names(*range(6))
    cli.cancel_last()
    cli.subscriber.delete_subscription(subscription=requests)


def test_ctrl_c_keeps_what_was_answered(cli: CommandLine, film: Path) -> None:
    topic = cli.topic("interrupted-frames")
    requests = cli.subscription("frames-interrupted", topic)
    command = [sys.executable, "-m", "client", "frames", "film.mp4", "--topic", topic, "--output", "run.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        [message, *_] = pulled(cli, requests, 8)
        cli.publisher.publish("projects/local/topics/req_predict", message.data, **dict(message.attributes)).result(10)
        assert until(lambda: "answered  1" in cli.run("status", "last")[1], 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted; 7 unanswered" in err
    with open("run.csv", encoding="utf-8", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == names(0)
    cli.cancel_last()
    cli.subscriber.delete_subscription(subscription=requests)


def test_a_video_that_breaks_off(cli: CommandLine, tmp_path: Path, film: Path) -> None:
    data = write_video(tmp_path / "long.mp4", range(0, 20_000, 40), movflags="faststart").read_bytes()
    film.write_bytes(data[: len(data) // 2])
    code, out, err = cli.run("frames", str(film))
    count = len(re.findall(r"^film\S+", out, re.M))
    assert code == 1 and count > 4 and f"{count} of {count} answered" in err
    assert re.search(r"^film\.mp4 breaks off at 00:00:\S+: .+; the frames before are sent$", err, re.M)


def test_wrong_usage(cli: CommandLine, film: Path) -> None:
    Path("text.txt").write_text("no video")
    for words, why in (
        ([], "no video is named: give VIDEO, or --resume JOB"),
        (["none.mp4"], "VIDEO is 'none.mp4': No such file or directory"),
        (["text.txt"], "text.txt is no video"),
        (["film.mp4", "--every", "soon"], "'soon' is no time: give 1s, 0.5s, 2m, 1h or 00:01:05.000, 0.01s or more"),
        (["film.mp4", "--every", "0s"], "'0s' is no time"),
        (["film.mp4", "--start", "2s", "--end", "00:02"], "--end is not after --start"),
        (["film.mp4", "--output", "run.txt"], "run.txt is no results file"),
        (["film.mp4", "--resume", "last"], "--resume takes the video and its frames from the job: leave out video"),
    ):
        code, out, err = cli.run("frames", *words)
        assert code == 2 and why in err and not out, err
    assert cli.run("jobs")[1] == ""


def test_a_video_that_changed_is_not_resumed(cli: CommandLine, film: Path) -> None:
    topic = cli.topic("changed-frames")
    assert cli.run("frames", str(film), "--limit", "1", "--topic", topic, "--timeout", "3")[0] == 1
    write_video(film, range(0, 4000, 200))
    code, _, err = cli.run("frames", "--resume", "last")
    assert code == 2 and "'film.mp4' has changed since the job began: send its frames in a new one" in err
    code, _, err = cli.run("publish", "--resume", "last")
    assert code == 2 and re.search(r"was made by frames: predictions frames --resume \S+$", err)
    cli.cancel_last()


def test_a_publisher_with_a_key_goes_on_after_a_failure(cli: CommandLine, film: Path) -> None:
    frame = next(Video(film, Cut(1000), "salt").images())
    publisher = PubSubPublisher(Cloud("local", "late-frames"), ordered=True)
    transport = TopicTransport(publisher, RequestTracker(), SendOptions(), None, None, ordering_key="film.mp4")
    assert transport.threads == 1
    with pytest.raises(SendError, match="does not exist"):
        transport.send(frame)
    cli.topic("late-frames")
    assert transport.send(frame).request_id == frame.request_id
    publisher.close()
