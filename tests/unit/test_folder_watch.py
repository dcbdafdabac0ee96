"""What a watched folder does with each file, as the job store and the responses say."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client.images import AnyImage, Image
from client.jobs.definition import Definition
from client.jobs.job import Job
from client.jobs.store import JobStore
from client.results.output import Messages
from client.results.request_tracker import Outcome
from client.text import SendError, StoreError
from client.transport.base import Sent
from client.watching.backoff import Backoff
from client.watching.done_folder import DoneFolder
from client.watching.file_version import FileVersion
from client.watching.folder_watch import Disconnected, FolderWatch
from client.watching.publishing import Publishing
from functions.messages.contract import Error, Response
from model.labels import Prediction
from tests.waiting import until


def response(request_id: str, error: str = "") -> Response:
    if error:
        return Response(request_id, error=Error(error, "why"))
    return Response(request_id, (Prediction("Bag", 0.9),))


@dataclass
class Broker:
    """A transport, and the worker behind it, which answers with the error that the image holds, if any."""

    answer: Callable[[Response], None] = lambda response: None
    threads: int = 1
    sent: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    is_silent: bool = False

    def send(self, image: Image) -> Sent:
        data = image.read()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(image.name)
        self.ids.append(image.request_id)
        if not self.is_silent:
            self.answer(response(image.request_id, data.decode().removeprefix("image").strip()))
        return Sent(image.request_id, "")


class Shown:
    """A view that keeps what it gets."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.watching.publishing.Backoff", lambda: Backoff(most_s=0.01))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def job(tmp_path: Path, folder: Path) -> Job:
    return JobStore(tmp_path / "jobs.db").create(Definition(command="watch-folder", described="in", client_id="client"))


class Watching:
    """Runs of one watched folder."""

    def __init__(self, folder: Path, job: Job, done: DoneFolder | None) -> None:
        self.folder, self.job, self.done = folder, job, done
        self.broker, self.view = Broker(), Shown()

    def once(self) -> FolderWatch:
        """Watch until all files are answered, in a new process as it were."""
        watch = FolderWatch(self.folder, self.job, self.view, Messages(), self.done, settle_s=0.01)
        self.broker.answer = watch.receive
        publishing = Publishing(self.broker, self.job, watch.failed, watch.notices)
        try:
            watch.watch(publishing, once=True)
        finally:
            watch.end("over")
            publishing.stop()
        return watch

    def until(self, condition: Callable[[], object]) -> None:
        """Watch in one process until a condition is true."""
        watch = FolderWatch(self.folder, self.job, self.view, Messages(), self.done, settle_s=0.01)
        self.broker.answer = watch.receive
        publishing = Publishing(self.broker, self.job, watch.failed, watch.notices)

        def end() -> None:
            until(condition)
            watch.end("over")

        threading.Thread(target=end).start()
        with pytest.raises(Disconnected, match="over"):
            watch.watch(publishing, once=False)
        publishing.stop()

    def put(self, name: str, data: str = "image") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(data)
        return path


@pytest.fixture
def watching(folder: Path, job: Job) -> Watching:
    return Watching(folder, job, None)


@pytest.fixture
def moving(folder: Path, job: Job, tmp_path: Path) -> Watching:
    return Watching(folder, job, DoneFolder(tmp_path / "done", folder))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_version_is_published_once_also_after_a_restart(watching: Watching) -> None:
    watching.put("a.jpg")
    watching.put("sub/b.jpg")
    assert not watching.once().bad and sorted(watching.broker.sent) == ["a.jpg", "sub/b.jpg"]
    watching.once()
    assert len(watching.broker.sent) == 2 and len(watching.view.outcomes) == 2
    watching.put("a.jpg", "image ")
    watching.once()
    assert watching.broker.sent[2:] == ["a.jpg"] and len(set(watching.broker.ids)) == 3
    assert watching.job.counts().ok == 3


def test_a_response_that_comes_twice_is_shown_once(watching: Watching) -> None:
    watching.put("a.jpg")
    watch = watching.once()
    watch.receive(response(watching.broker.ids[0]))
    watch.show_received()
    assert len(watching.view.outcomes) == 1
    assert watching.view.outcomes[0].image.location == str(watching.folder / "a.jpg")


def test_what_was_sent_and_not_answered_is_awaited_and_not_sent_again(watching: Watching) -> None:
    watching.put("a.jpg")
    watching.broker.is_silent = True
    watch = FolderWatch(watching.folder, watching.job, watching.view, Messages(), None, settle_s=0.01)
    publishing = Publishing(watching.broker, watching.job, watch.failed, watch.notices)

    def end() -> None:
        until(lambda: watching.job.counts().unanswered == 1)
        watch.end("the stream broke")

    threading.Thread(target=end).start()
    with pytest.raises(Disconnected, match="the stream broke"):
        watch.watch(publishing, once=True)
    publishing.stop()

    before = watching.broker.answer

    def answer() -> None:
        assert until(lambda: watching.broker.answer is not before), "nothing receives responses"
        watching.broker.answer(response(watching.broker.ids[0]))

    later = threading.Thread(target=answer)
    later.start()
    watching.once()
    assert watching.broker.sent == ["a.jpg"] and len(watching.view.outcomes) == 1
    later.join()


def test_files_are_moved_when_they_are_answered(moving: Watching, tmp_path: Path) -> None:
    moving.put("a.jpg")
    moving.put("sub/bad.jpg", "image invalid_image")
    moving.put("down.jpg", "image unavailable")
    watch = moving.once()
    assert files(tmp_path / "done") == ["a.jpg", "errors/sub/bad.jpg"]
    assert files(moving.folder) == ["down.jpg"] and len(watch.bad) == 2
    # `unavailable` is replaced by the predictions that a redrive brings.
    down = next(key for key, name in zip(moving.broker.ids, moving.broker.sent, strict=True) if name == "down.jpg")
    watch.receive(response(down))
    watch.show_received()
    assert files(tmp_path / "done") == ["a.jpg", "down.jpg", "errors/sub/bad.jpg"] and len(watch.bad) == 1


def test_a_file_that_a_kill_left_unmoved_is_moved_at_the_next_start(watching: Watching, tmp_path: Path) -> None:
    watching.put("a.jpg")
    watching.put("bad.jpg", "image invalid_image")
    watching.once()
    watching.done = DoneFolder(tmp_path / "done", watching.folder)
    watch = watching.once()
    assert files(tmp_path / "done") == ["a.jpg", "errors/bad.jpg"] and files(watching.folder) == []
    assert len(watching.broker.sent) == 2 and len(watch.bad) == 1


def test_a_file_that_is_put_back_is_sent_again_when_its_time_changes(
    moving: Watching, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = moving.put("a.jpg")
    moving.once()
    (tmp_path / "done" / "a.jpg").rename(path)
    moving.once()
    assert moving.broker.sent == ["a.jpg"] and files(tmp_path / "done") == ["a.jpg"]
    assert "a.jpg was answered before, and is now" in capsys.readouterr().err
    (tmp_path / "done" / "a.jpg").rename(path)
    os.utime(path)
    moving.once()
    assert moving.broker.sent == ["a.jpg", "a.jpg"] and files(tmp_path / "done") == ["a.jpg"]


def test_a_file_that_changed_before_its_response_stays_for_its_own_response(moving: Watching, tmp_path: Path) -> None:
    moving.put("a.jpg", "image ")

    def answer_late(found: Response, answer: Callable[[Response], None]) -> None:
        if len(moving.broker.ids) == 1:
            moving.put("a.jpg", "image  ")
        answer(found)

    watch = FolderWatch(moving.folder, moving.job, moving.view, Messages(), moving.done, settle_s=0.01)
    moving.broker.answer = lambda found: answer_late(found, watch.receive)
    publishing = Publishing(moving.broker, moving.job, watch.failed, watch.notices)
    watch.watch(publishing, once=True)
    publishing.stop()
    if len(moving.broker.sent) == 1:  # the first version was answered before a scan saw the second
        moving.once()
    assert moving.broker.sent == ["a.jpg", "a.jpg"] and len(set(moving.broker.ids)) == 2
    assert (tmp_path / "done" / "a.jpg").read_text() == "image  " and files(tmp_path / "done") == ["a.jpg"]


def test_a_link_is_published_and_stays(moving: Watching, tmp_path: Path) -> None:
    moving.put("a.jpg")
    moving.put(".hidden/image.jpg")  # is not published, and so stays
    (moving.folder / "b.jpg").symlink_to(".hidden/image.jpg")
    moving.once()
    assert "b.jpg" in moving.broker.sent and (moving.folder / "b.jpg").is_symlink()
    assert files(tmp_path / "done") == ["a.jpg"]


def test_a_move_that_fails_is_shown_once_and_tried_again(
    moving: Watching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    move, failures = DoneFolder.move, [OSError(28, "No space left on device")] * 3

    def full(self: DoneFolder, version: FileVersion, *, is_error: bool) -> Path:
        if failures:
            raise failures.pop()
        return move(self, version, is_error=is_error)

    monkeypatch.setattr(DoneFolder, "move", full)
    monkeypatch.setattr("client.watching.folder_watch._AGAIN_S", 0.01)
    moving.put("a.jpg")
    moving.put("b.jpg")
    moving.until(lambda: not files(moving.folder))
    err = capsys.readouterr().err
    assert err.count("cannot be moved: no space left on device; it is tried again, and stays here") == 1
    assert err.count("files are moved again") == 1 and "touch" not in err
    assert files(tmp_path / "done") == ["a.jpg", "b.jpg"] and len(moving.broker.sent) == 2


def test_a_broker_that_is_down_is_shown_once_and_tried_again(
    watching: Watching, capsys: pytest.CaptureFixture[str]
) -> None:
    watching.put("a.jpg")
    watching.put("b.jpg")
    watching.broker.failures = [SendError("it could not be published: no answer", temporary=True)] * 2
    assert not watching.once().bad and sorted(watching.broker.sent) == ["a.jpg", "b.jpg"]
    err = capsys.readouterr().err
    assert err.count("no answer; it is tried again until it succeeds") == 1
    assert err.count("images are published again") == 1


def test_a_store_that_is_full_is_shown_and_nothing_is_lost(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, failures = Job.sent, [StoreError("the job store cannot be written: disk is full")]

    def fails_once(self: Job, *arguments: object) -> None:
        if failures:
            raise failures.pop()
        sent(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Job, "sent", fails_once)
    watching.put("a.jpg")
    assert not watching.once().bad
    assert "disk is full; it is tried again until it succeeds" in capsys.readouterr().err
    assert len(set(watching.broker.ids)) == 1 and watching.job.counts().ok == 1 and len(watching.view.outcomes) == 1


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(
    watching: Watching, capsys: pytest.CaptureFixture[str]
) -> None:
    watching.put("a.jpg")
    watching.broker.failures = [PermissionError(13, "Permission denied")]
    assert len(watching.once().bad) == 1
    assert "a.jpg could not be sent: permission denied" in capsys.readouterr().err
    watching.put("b.jpg")
    assert not watching.once().bad  # the next start tries again
    assert sorted(watching.broker.sent) == ["a.jpg", "b.jpg"]


def test_a_file_that_vanished_before_it_was_sent(watching: Watching, capsys: pytest.CaptureFixture[str]) -> None:
    path = watching.put("a.jpg")
    read, watching.broker.threads = Path.open, 1

    def vanishes(self: Path, *arguments: object, **settings: object) -> object:
        if self == path:
            path.unlink(missing_ok=True)
        return read(self, *arguments, **settings)  # type: ignore[call-overload]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", vanishes)
        assert not watching.once().bad
    assert "a.jpg could not be sent: it was removed before it was sent" in capsys.readouterr().err
    assert watching.job.counts().failed == 1


def test_a_folder_that_vanishes_is_shown_once_and_awaited(
    watching: Watching, capsys: pytest.CaptureFixture[str]
) -> None:
    watching.put("a.jpg")
    away = watching.folder.with_name("away")
    watching.folder.rename(away)
    err = ""

    def is_answered_when_it_is_back() -> bool:
        nonlocal err
        err += capsys.readouterr().err
        if away.exists() and "cannot be read" in err:
            away.rename(watching.folder)
        return bool(watching.view.outcomes)

    watching.until(is_answered_when_it_is_back)
    err += capsys.readouterr().err
    assert err.count("in cannot be read: no such file or directory; it is looked for again") == 1
    assert err.count("in can be read again") == 1 and watching.broker.sent == ["a.jpg"]


def test_a_failure_before_the_first_look_is_not_lost(watching: Watching) -> None:
    watch = FolderWatch(watching.folder, watching.job, watching.view, Messages(), None, settle_s=0.01)
    publishing = Publishing(watching.broker, watching.job, watch.failed, watch.notices)
    watch.begin()
    watch.end("the stream broke at once")
    with pytest.raises(Disconnected, match="broke at once"):
        watch.watch(publishing, once=True)
    publishing.stop()


def test_recording_many_files_does_not_lengthen_the_pause_between_scans(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, late = Job.add, watching.folder / "late.jpg"

    def slow(self: Job, images: Iterable[AnyImage]) -> Iterator[int]:
        time.sleep(0.5)  # nine times as much would be a long pause
        late.write_text("image")
        return add(self, images)

    monkeypatch.setattr(Job, "add", slow)
    watching.put("a.jpg")
    watch = FolderWatch(watching.folder, watching.job, watching.view, Messages(), None, settle_s=0.01)
    watching.broker.answer = watch.receive
    publishing = Publishing(watching.broker, watching.job, watch.failed, watch.notices)
    pauses: list[float] = []
    shown = watch._shown_until

    def shown_until(until: float, once: bool) -> bool:
        pauses.append(until - time.monotonic())
        return shown(until, once)

    monkeypatch.setattr(watch, "_shown_until", shown_until)
    watch.watch(publishing, once=True)
    publishing.stop()
    assert watching.broker.sent[0] == "a.jpg" and max(pauses) < 4
