"""Child processes of the twin end with it, even when it is interrupted while it starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from infra.local import die_with_parent
from infra.local.child import Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ctrl-C comes when the process is there and its Popen is not; gives the process ids of such."""
    pids: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            pids.append(self.pid)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    return pids


def start(folder: Path) -> Child:
    return Child("sleeper", SLEEP, log=folder / "log", cwd=folder, env=os.environ)


def test_a_child_interrupted_during_its_start_is_ended(interrupted: list[int], tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path)
    (pid,) = interrupted
    assert not Path(f"/proc/{pid}").exists()
    assert signal.getsignal(signal.SIGINT) is handler


def test_ignored_signals_stay_ignored(interrupted: list[int], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = start(tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert child.exit_code is None
        child.stop()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(interrupted) == 1


def test_a_child_may_be_started_from_any_thread(tmp_path: Path) -> None:
    codes: list[int | None] = []

    def work() -> None:
        child = start(tmp_path)
        codes.append(child.exit_code)
        child.stop()
        codes.append(child.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes[0] is None and codes[1] is not None


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    made = tmp_path / "made"
    command = [
        sys.executable,
        "-S",
        "-E",
        str(die_with_parent.__file__),
        gone.stdout.decode().strip(),
        "touch",
        str(made),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (1, "the parent process ended during the start\n")
    assert not made.exists()
