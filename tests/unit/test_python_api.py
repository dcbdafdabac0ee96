"""The Python API: its names, inputs, options, results, and the life of a client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_type

import pytest

import client
from client import AsyncPredictions, Explanation, Prediction, Predictions, PredictionsError, Result
from client.api import client as api_client
from client.api.calls import Calls
from client.images import Image
from client.text import SendError
from client.transport.base import SendOptions
from tests.memory_pipeline import Pipeline, names, ok, sending
from tests.waiting import until


def test_the_names_are_typed_and_imported_when_they_are_used() -> None:
    assert_type(Result(index=0).predictions, tuple[Prediction, ...])
    assert_type(Result(index=0).explanation, Explanation | None)
    assert set(client.__all__) <= set(dir(client))
    assert all(getattr(client, name).__name__ == name for name in client.__all__)
    with pytest.raises(AttributeError, match="module 'client' has no attribute 'Prediction_'"):
        _ = client.Prediction_


def test_each_image_has_one_result(predictions: Predictions) -> None:
    results = {result.index: result for result in predictions.predict([b"Coat", b"bad", b"Bag"])}
    assert {index: (each.ok, each.label, each.error, each.file) for index, each in results.items()} == {
        0: (True, "Coat", "", "image-0"),
        1: (False, "", "invalid_image: a sentence", "image-1"),
        2: (True, "Bag", "", "image-2"),
    }
    assert results[0].predictions == (Prediction("Coat", 0.9),) and results[0].trace_id == "t"
    assert results[0].client_ms is not None and results[0].client_ms >= 0
    assert repr(results[1]).startswith("Result(index=1, file='image-1', ") and "label" not in repr(results[1])


def test_files_folders_and_globs_are_expanded(
    predictions: Predictions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "in/c.png", "in/notes.txt"):
        (tmp_path / name).write_bytes(b"Bag")
    given: list[str | Path | bytes] = [
        str(tmp_path / "*.png"),
        tmp_path / "in",
        b"Coat",
        str(tmp_path / "none.png"),
        tmp_path / "a.png",
    ]
    results = list(predictions.predict(given, ordered=True))
    assert [each.file.removeprefix(f"{tmp_path}/") for each in results] == [
        "a.png",
        "b.png",
        "in/c.png",
        "image-3",
        "none.png",
        "a.png",
    ]
    assert [each.index for each in results] == [0, 1, 2, 3, 4, 5]
    assert [each.ok for each in results] == [True, True, True, True, False, True]
    assert results[4].status == "failed"
    assert results[4].error == f"no image file is at {tmp_path / 'none.png'}"
    assert caplog.messages == [f"left out of {tmp_path / 'in'}: 1 .txt"]


def test_a_mapping_names_its_images(predictions: Predictions) -> None:
    assert {each.file: each.label for each in predictions.predict({"shop/1": b"Bag", "2": b"Coat"})} == {
        "shop/1": "Bag",
        "2": "Coat",
    }


class Array:
    """What an array looks like; its type claims to be one of NumPy's."""

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])


Array.__module__ = "numpy"


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (None, "images is of the type NoneType; it must be a path, the bytes of an encoded image, "),
        (3, "images is of the type int; it must be "),
        (
            Array(),
            r"images is of the type numpy.Array; .*; encode each image as PNG, since values alone do not say",
        ),
        ([Array()], r"image 0 is of the type numpy.Array; it must be a path or bytes; encode each image as PNG"),
        ([b"Bag", ["a.png"]], "image 1 is of the type list; it must be a path or bytes$"),
        ({"a": "a.png"}, "the image 'a' is of the type str; a mapping must be from names to bytes"),
        ({1: b"Bag"}, "the image 1 is of the type bytes; a mapping must be from names to bytes"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_give(predictions: Predictions, images: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        list(predictions.predict(images))


@pytest.mark.parametrize("images", [None, 3, Array()])
def test_a_wrong_argument_is_refused_before_iterating(predictions: Predictions, images: Any) -> None:
    with pytest.raises(TypeError, match="images is "):
        predictions.predict(images)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 0}, "top_k is 0; it must be a whole number from 1 to 100"),
        ({"top_k": 101}, "top_k is 101; "),
        ({"top_k": True}, "top_k is True; "),
        ({"top_k": 2.0}, "top_k is 2.0; "),
        ({"model": ""}, "model is ''; it must be the name or the digest of a model"),
        ({"explain": "no"}, "explain is 'no'; it must be True or False"),
        ({"features": 1}, "features is 1; it must be True or False"),
        ({"expires_in_s": 0}, "expires_in_s is 0; it must be a number of seconds above 0, at most 604,800"),
        ({"expires_in_s": float("nan")}, "expires_in_s is nan; "),
    ],
)
def test_wrong_options_are_refused_before_iterating(
    predictions: Predictions, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        predictions.predict(b"Bag", **options)


def test_the_options_reach_the_requests(predictions: Predictions, pipeline: Pipeline) -> None:
    list(predictions.predict(b"Bag", top_k=3, model="m", explain=True, features=True, expires_in_s=60))
    assert pipeline.options == [SendOptions(3, "m", 60.0, True, True)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"timeout_s": 0}, "timeout_s is 0; it must be a number of seconds above 0, at most 604,800"),
        ({"timeout_s": "60"}, "timeout_s is '60'; "),
        ({"url": "http://w", "topic": "t"}, "topic is given together with url"),
        ({"url": "http://w", "project": "p"}, "project is given together with url"),
        ({"url": " "}, "url is ' '; it must be an address"),
        ({"token": "t"}, "token is given without url"),
    ],
)
def test_wrong_arguments_of_a_client_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    for kind in (Predictions, AsyncPredictions):
        with pytest.raises(ValueError, match=sentence):
            kind(**arguments)


def test_wrong_variables_are_refused_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(PredictionsError, match="no project is set: give project, or set GOOGLE_CLOUD_PROJECT"):
        Predictions()
    monkeypatch.setenv("INLINE_LIMIT", "much")
    with pytest.raises(PredictionsError, match="INLINE_LIMIT is 'much'; it must be a whole number of bytes"):
        Predictions("p")


def test_a_client_is_used_in_one_with_statement(pipeline: Pipeline) -> None:
    p = Predictions("p")
    with pytest.raises(PredictionsError, match="this client is not open: use it in a with statement"):
        p.predict(b"Bag")
    with p:
        with pytest.raises(PredictionsError, match="this client is open already"):
            p.__enter__()
        pending = p.predict(b"Bag")
        open_call = p.predict(names())
        next(open_call)
    for use in (lambda: p.predict(b"Bag"), p.__enter__, lambda: next(pending), lambda: list(open_call)):
        with pytest.raises(PredictionsError, match="this client is closed: its with statement has ended"):
            use()


def test_the_connection_is_closed_after_what_is_being_sent(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, late = threading.Event(), list[str]()

    def accept(image: Image) -> None:
        pipeline.receive(ok(image))
        time.sleep(0.2)
        if gone.is_set():
            late.append(image.location)

    @contextmanager
    def connection(calls: Calls, *_: object, **__: object) -> Iterator[object]:
        pipeline.calls = calls
        yield pipeline.transport
        gone.set()

    monkeypatch.setattr(pipeline, "accept", accept)
    monkeypatch.setattr(api_client, "connection_to", connection)
    with Predictions("p") as p:
        for _ in p.predict(names()):
            break  # others are being sent
    assert until(lambda: not sending()) and late == []


def test_an_image_that_was_taken_before_the_connection_is_closed_is_not_sent_after_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that takes the first image starts another one before it sends, and here that takes it long."""
    closed, start = threading.Event(), threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "send-2":
            closed.wait(30)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    with Predictions("p") as p:
        for _ in p.predict(names()):
            break
    sent = len(pipeline.sent)
    closed.set()
    assert until(lambda: not sending())
    assert "image-0" not in pipeline.sent and len(pipeline.sent) == sent


def test_a_client_that_could_not_connect_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def refused(*_: object, **__: object) -> Iterator[None]:
        raise SendError("no subscription for responses can be created")
        yield

    monkeypatch.setattr(api_client, "connection_to", refused)
    predictions = Predictions("p")
    with pytest.raises(PredictionsError, match=r"^no subscription for responses can be created$"), predictions:
        pytest.fail("it is not open")
    with pytest.raises(PredictionsError, match="this client is closed"):
        predictions.predict(b"Bag")
