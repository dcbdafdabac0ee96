"""The streams of the program: closed ones, closed pipes, terminals, and an interruption with many images."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.ports import free_port
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine
from tests.silent_server import SilentServer

CLIENT = [sys.executable, "-m", "client"]


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


def shell(root: Path, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which $C is the client; its code is that of the client."""
    env = {**os.environ, **variables, "C": " ".join(CLIENT)}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=root, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["publish client/samples/bag.bmp", "plan --images-per-day 1e6", "--help", "doctor"])
def test_a_closed_stream_is_no_failure(cli: CommandLine, root: Path, words: str, closing: str) -> None:
    done = shell(root, f"$C {words} {closing}")
    assert done.returncode == 0 and "Error" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "publish client/samples --top-k 5",
        "publish client/samples --json",
        "publish client/samples --no-wait",
        "plan --images-per-day 1e6",
        "doctor",
        "doctor --json",
        "--help",
        "publish --help",
        "completion bash",
    ],
)
def test_a_reader_that_leaves_early_sees_no_traceback(cli: CommandLine, root: Path, words: str) -> None:
    done = shell(root, f"$C {words} | true")
    assert done.returncode in (0, 1)
    assert not re.search("Traceback|BrokenPipe|Exception ignored", done.stderr), done.stderr
    if words.endswith("--json") and words.startswith("publish"):
        cli.cancel_last()


@pytest.mark.timing
def test_an_old_address_is_named_at_once(root: Path) -> None:
    for variable, value in (
        ("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}"),
        ("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}"),
    ):
        began = time.monotonic()
        done = shell(
            root,
            "$C upload client/samples/bag.bmp --bucket b --project p",
            **{"PUBSUB_EMULATOR_HOST": "", variable: value},
        )
        assert done.returncode == 1 and done.stdout == "" and time.monotonic() - began < 10
        assert done.stderr.startswith(f"predictions upload: {variable} is {value}, and nothing answers there: ")
        assert done.stderr.count("\n") == 1 and len(done.stderr) <= 300


@pytest.mark.timing
def test_the_timeout_counts_where_a_server_accepts_and_never_answers(root: Path) -> None:
    with SilentServer() as server:
        began = time.monotonic()
        done = shell(
            root, "$C publish client/samples/bag.bmp --project p --timeout 1", PUBSUB_EMULATOR_HOST=server.host
        )
        assert time.monotonic() - began < 10
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("predictions publish: no subscription for responses can be created: ")


def test_any_program_ends_quietly_when_its_reader_leaves(root: Path) -> None:
    program = "import sys; from model import streams; sys.exit(streams.run(lambda: print('x' * 10**6) or 0))"
    done = shell(root, f'{sys.executable} -c "{program}" | true')
    assert (done.returncode, done.stderr) == (1, "")


def test_missing_places_are_named_in_one_line(cli: CommandLine, root: Path) -> None:
    image = str(root / "client" / "samples" / "bag.bmp")
    for words, reason in (
        (["upload", image, "--bucket", "nope"], "it could not be uploaded: NotFound: the bucket nope does not exist"),
        (["publish", image, "--topic", "nope"], "NotFound: projects/local/topics/nope does not exist"),
    ):
        code, [line] = cli.lines(*words)
        assert code == 1 and line["problem"].endswith(reason) and len(line["problem"]) <= 300
    code, _, err = cli.run("publish", image, "--response-topic", "nope")
    assert code == 1 and err.endswith("NotFound: projects/local/topics/nope does not exist\n") and err.count("\n") == 1


def test_debug_shows_the_librarys_message(cli: CommandLine, root: Path) -> None:
    line = "$C upload client/samples/bag.bmp --bucket nope"
    assert "google.api_core.exceptions.NotFound: 404" in shell(root, f"{line} --debug").stderr
    assert shell(root, line).stderr == (
        "sending stopped: it could not be uploaded: NotFound: the bucket nope does not exist\n0 of 1 answered\n"
    )


def test_an_interruption_with_many_images_is_summarised(
    cli: CommandLine, root: Path, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "many").mkdir()
    for number in range(3000):
        (tmp_path / "many" / f"{number:04}.bmp").hardlink_to(_copy(samples / "bag.bmp", tmp_path))
    topic, unsent = cli.topic("void-many"), tmp_path / "unsent.txt"
    path = cli.subscription("asked-many", topic)
    words = ["publish", str(tmp_path / "many"), "--topic", topic, "--unsent", str(unsent)]
    with subprocess.Popen(
        [*CLIENT, *words], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        cli.message(path)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
    cli.subscriber.delete_subscription(subscription=path)
    assert run.returncode == 130 and out == "" and len(err.splitlines()) <= 28
    cli.cancel_last()
    match = re.match(r"interrupted; ([\d,]+) unanswered, ([\d,]+) not sent\n", err)
    assert match, err
    unanswered, left = (int(number.replace(",", "")) for number in match.groups())
    listed = unsent.read_text().splitlines()
    assert unanswered + left == 3000 and len(listed) == left
    assert all(Path(each).parent == tmp_path / "many" for each in listed)


def _copy(source: Path, folder: Path) -> Path:
    made = folder / source.name
    if not made.exists():
        made.write_bytes(source.read_bytes())
    return made


def test_on_a_terminal_no_progress_is_mixed_with_json(cli: CommandLine, root: Path) -> None:
    near, far = pty.openpty()
    with subprocess.Popen(
        [*CLIENT, "publish", "--json", "client/samples"], cwd=root, stdout=far, stderr=far, stdin=far
    ) as run:
        os.close(far)
        shown = b""
        while run.poll() is None or not shown.endswith(b".csv\r\n"):
            try:
                shown += os.read(near, 65_536)
            except OSError:
                break
    os.close(near)
    lines = shown.decode().replace("\r\033[K", "").splitlines()
    assert sum(line.startswith('{"file": ') and line.endswith("}") for line in lines) == 10
    assert not re.search(r"\d+ of 10(?! answered)", shown.decode())
