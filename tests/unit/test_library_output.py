"""A command of `model` shows its own lines on stderr, and not those of libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator

import pytest

from model.library_output import LOG_LEVEL, quiet_libraries


def noise() -> None:
    """Lines of native code, of logging and of warnings, around a line of ours."""
    os.write(2, b"E0000 00:00 cuda_platform.cc:52] failed call to cuInit\n")
    logging.getLogger("absl").error("Compiled the loaded model, but ...")
    warnings.warn("something is deprecated", stacklevel=1)
    print("ours", file=sys.stderr)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Python's stderr on file descriptor 2, as in a command."""
    monkeypatch.delenv(LOG_LEVEL, raising=False)
    with os.fdopen(2, "w", buffering=1, closefd=False) as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield capfd


def test_only_our_own_lines_are_shown(stderr: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with quiet_libraries():
        noise()
    assert stderr.readouterr().err == "ours\n"
    assert sys.stderr is before


def test_the_libraries_write_again_afterwards(stderr: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), quiet_libraries():
        raise KeyError
    os.write(2, b"later\n")
    assert stderr.readouterr().err == "later\n"
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.filterwarnings("ignore:something is deprecated")
def test_a_user_who_sets_tensorflows_log_level_sees_its_log(
    stderr: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG_LEVEL, "0")
    with quiet_libraries():
        noise()
    said = stderr.readouterr().err
    assert "cuda_platform" in said and "ours" in said


def test_a_stream_in_memory_is_left_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOG_LEVEL, raising=False)
    with quiet_libraries():
        print("ours", file=sys.stderr)
    assert capsys.readouterr().err == "ours\n"
