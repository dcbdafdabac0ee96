"""The command watch-folder against the twin: restarts, kills, moves, and a broker that is down for a while."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine
from tests.waiting import until

Process = subprocess.Popen[str]


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `in`, below the current one; jobs have a store of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    (tmp_path / "in").mkdir()
    return Path("in")


@contextmanager
def started(*words: str) -> Iterator[Process]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "client", "watch-folder", "in", "--settle", "0.1", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr and process.stderr.readline().startswith("watching in as job ")
            yield process
        finally:
            process.kill()


def stop(process: Process, number: signal.Signals = signal.SIGINT) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=20)


def once(cli: CommandLine, *words: str) -> tuple[int, str, str]:
    return cli.run("watch-folder", "in", "--once", "--settle", "0.1", *words)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_images_of_a_folder_once(cli: CommandLine, samples: Path, folder: Path) -> None:
    (folder / "sub").mkdir()
    shutil.copy(samples / "bag.bmp", folder)
    shutil.copy(samples / "coat.tif", folder / "sub")
    (folder / "notes.txt").write_text("none")
    code, out, err = once(cli, "--output", "run.csv")
    assert code == 0 and len(out.splitlines()) == 2
    assert re.search(r"^\S+Z  in/sub/coat\.tif  Coat 0\.\d{4}$", out, re.M)
    assert re.fullmatch(
        r"watching in as job \S+, 0 images answered before; Ctrl-C ends it\nleft out: 1 \.txt\n2 of 2 answered\n", err
    )
    code, out, err = once(cli, "--output", "run.csv", "--output", "new.csv")
    assert (code, out) == (0, "") and ", 2 images answered before; " in err
    for name in ("run.csv", "new.csv"):
        with open(name, encoding="utf-8", newline="") as file:
            assert {(row["file"], row["label"]) for row in csv.DictReader(file)} == {
                ("in/bag.bmp", "Bag"),
                ("in/sub/coat.tif", "Coat"),
            }


def test_json_and_an_error(cli: CommandLine, samples: Path, folder: Path) -> None:
    (folder / "bad.jpg").write_text("no image")
    code, out, _ = once(cli, "--json", "--move-to", "done")
    assert code == 1 and json.loads(out)["response"]["error"]["code"] == "invalid_image"
    assert json.loads(out)["file"] == "in/bad.jpg" and files(Path("done")) == ["errors/bad.jpg"]
    shutil.copy(samples / "bag.bmp", folder)
    code, out, _ = once(cli, "--json", "--top-k", "2")
    assert code == 0 and len(json.loads(out)["response"]["predictions"]) == 2 and json.loads(out)["ms"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_files_are_published_as_they_appear(
    cli: CommandLine, samples: Path, folder: Path, number: signal.Signals
) -> None:
    with started("--move-to", "done") as process:
        shutil.copy(samples / "bag.bmp", folder / ".bag.bmp.part")
        (folder / ".bag.bmp.part").rename(folder / "bag.bmp")
        assert until(lambda: files(Path("done")) == ["bag.bmp"], 20)
        shutil.copy(samples / "coat.tif", folder / ".bag.bmp.part")
        (folder / ".bag.bmp.part").rename(folder / "bag.bmp")  # the same name again
        assert until(lambda: files(Path("done")) == ["2-bag.bmp", "bag.bmp"], 20)
        out, err = stop(process, number)
    assert process.returncode == 130 and "Bag" in out and "Coat" in out and files(folder) == []
    assert err == "2 of 2 answered\n"


def test_a_large_image_goes_through_the_bucket(cli: CommandLine, samples: Path, folder: Path) -> None:
    (folder / "large.jpg").write_bytes((samples / "trouser.jpg").read_bytes() + bytes(1_000_001))
    code, out, _ = once(cli, "--json")
    assert code == 0 and "gs://payloads/" in json.loads(out)["response"]["source"]["image_uri"]


def test_a_kill_loses_nothing_and_repeats_nothing(cli: CommandLine, samples: Path, folder: Path) -> None:
    topic = cli.topic("void-of-a-folder")
    requests = cli.subscription("asked-by-a-folder", topic)
    shutil.copy(samples / "bag.bmp", folder)
    with started("--topic", topic) as process:
        received = cli.message(requests)
        attributes = dict(received.message.attributes)
        assert until(lambda: "missing   1" in cli.run("status", "last")[1], 20)
        process.kill()
    # The response arrives while no command runs, and another image appears.
    cli.publisher.publish("projects/local/topics/req_predict", received.message.data, **attributes).result(10)
    shutil.copy(samples / "coat.tif", folder)
    with started("--topic", topic) as process:
        second = cli.message(requests)
        assert second.message.attributes["filename"] == "coat.tif"
        cli.publisher.publish(
            "projects/local/topics/req_predict", second.message.data, **dict(second.message.attributes)
        ).result(10)
        assert process.stdout
        lines = [process.stdout.readline(), process.stdout.readline()]
        stop(process)
    assert "in/bag.bmp  Bag" in "".join(lines) and "in/coat.tif  Coat" in "".join(lines)
    assert once(cli, "--topic", topic)[0] == 0  # nothing is left to publish: this topic has no worker
    cli.subscriber.delete_subscription(subscription=requests)


def test_a_kill_between_response_and_move(cli: CommandLine, samples: Path, folder: Path) -> None:
    shutil.copy(samples / "bag.bmp", folder)
    code = (
        "import os\n"
        "from client.watching.done_folder import DoneFolder\n"
        "DoneFolder.move = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "from client.__main__ import main\n"
        "main(['watch-folder', 'in', '--settle', '0.1', '--move-to', 'done'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL and files(folder) == ["bag.bmp"]
    code_, out, err = once(cli, "--move-to", "done")
    assert code_ == 0 and out == "" and "1 images answered before" in err
    assert files(folder) == [] and files(Path("done")) == ["bag.bmp"]


def test_two_commands_cannot_watch_one_folder(cli: CommandLine, folder: Path) -> None:
    with started() as process:
        code, _, err = once(cli)
        stop(process)
        assert code == 2 and "another command works on job" in err


def test_the_job_is_that_of_the_folder_and_topic(cli: CommandLine, samples: Path, folder: Path) -> None:
    shutil.copy(samples / "bag.bmp", folder)
    Path("link").symlink_to("in")
    once(cli)
    code, out, err = cli.run("watch-folder", "link", "--once", "--topic", "projects/local/topics/req_predict")
    assert (code, out) == (0, "") and ", 1 images answered before" in err
    code, _, err = once(cli, "--response-topic", cli.topic("elsewhere"))
    assert code == 2 and "--response-topic is 'elsewhere'; job " in err and "'res_predict'" in err
    code, _, err = cli.run("publish", "--resume", "last")
    assert code == 2 and re.search(r"was made by watch-folder: predictions watch-folder /\S+/in$", err)
    assert cli.run("cancel", "last")[0] == 0
    code, out, _ = once(cli)
    assert code == 0 and "Bag" in out  # a new job publishes everything


def test_wrong_usage(cli: CommandLine, folder: Path) -> None:
    for words, why in (
        (["nowhere"], "DIR is 'nowhere'; it must be a folder that exists"),
        (["in", "--move-to", "in/done"], "--move-to is in/done; it must be outside of in"),
        (["in", "--settle", "0"], "--settle"),
    ):
        code, _, err = cli.run("watch-folder", *words)
        assert code == 2 and why in err


def test_a_cancelled_job_ends_the_command(cli: CommandLine, folder: Path) -> None:
    with started() as process:
        assert cli.run("cancel", "last")[0] == 0
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and re.match(r"job \S+ was cancelled\n", err)


@pytest.mark.slow
def test_a_broker_that_restarts_and_forgets_everything(
    samples: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import client.transport.pubsub_publisher as topic\n"
        "retry = topic.pubsub_retry\n"
        "topic.pubsub_retry = lambda: retry(0.5)\n"  # 20 seconds otherwise
        "from client.__main__ import main\n"
        "main(['watch-folder', 'in', '--settle', '0.1', '--move-to', 'done'])\n"
    )
    with Twin(project="local", log_path=tmp_path / "worker.log") as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        shutil.copy(samples / "bag.bmp", folder)
        with open("said", "w") as said:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=said, stderr=said)
        try:
            assert until(lambda: files(Path("done")) == ["bag.bmp"], 20)
            twin.stop()
            shutil.copy(samples / "coat.tif", folder)
            shutil.copy(samples / "sandal.gif", folder)
            assert until(lambda: "tried again until it succeeds" in Path("said").read_text(), 20)
            twin.start()
            assert until(lambda: files(Path("done")) == ["bag.bmp", "coat.tif", "sandal.gif"], 60)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    text = Path("said").read_text()
    print(text)
    assert len(re.findall("could not be published: .*it is tried again until it succeeds", text)) <= 1, text
    assert sorted(re.findall(r"  in/\S+  (\w+)", text)) == ["Bag", "Coat", "Sandal"], text
