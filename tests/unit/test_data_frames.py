"""Data frames in the Python API, with a pipeline in memory."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from client import AsyncPredictions, Predictions
from client.results.record import COLUMNS
from tests.conftest import absent
from tests.memory_pipeline import Pipeline


@pytest.fixture(scope="module")
def pandas() -> Any:
    """The module pandas."""
    try:
        import pandas
    except ImportError:
        absent("pandas is not installed: pip install -r tests/requirements.txt")
    return pandas


@pytest.fixture
def frame(pandas: Any, tmp_path: Path) -> Any:
    """A frame with a file, a missing file and bytes, whose index has an entry twice."""
    (tmp_path / "a.png").write_bytes(b"Coat")
    cells = [str(tmp_path / "a.png"), tmp_path / "none.png", b"bad", b"Bag"]
    return pandas.DataFrame({"file": cells, "price": [1, 2, 3, 4]}, index=["a", "b", "b", "c"])


def test_each_row_gets_its_result(predictions: Predictions, pipeline: Pipeline, frame: Any, pandas: Any) -> None:
    found = predictions.predict_frame(frame, top_k=2)
    assert list(found.columns) == ["file", "price", *(name for name in COLUMNS if name != "file")]
    pandas.testing.assert_frame_equal(found[["file", "price"]], frame)
    assert list(found["status"]) == ["ok", "failed", "error", "ok"]
    assert list(found["label"]) == ["Coat", "", "", "Bag"]
    assert found["score"].dtype == "float64" and list(found["score"].isna()) == [False, True, True, False]
    assert found["error_code"].iloc[2] == "invalid_image"
    assert found["problem"].iloc[1] == "no such file or directory"
    assert found["predictions"].iloc[0] == [{"label": "Coat", "score": 0.9}]
    assert pipeline.options[0].top_k == 2 and "status" not in frame


def test_the_columns_have_the_same_types_without_rows(predictions: Predictions, frame: Any) -> None:
    empty = predictions.predict_frame(frame.iloc[:0])
    assert len(empty) == 0 and empty.dtypes.equals(predictions.predict_frame(frame).dtypes)


def test_another_column(predictions: Predictions, frame: Any) -> None:
    found = predictions.predict_frame(frame.rename(columns={"file": "image"}), "image")
    assert list(found["label"]) == ["Coat", "", "", "Bag"] and "file" not in found


@pytest.mark.parametrize(
    ("change", "column", "sentence"),
    [
        (lambda frame: [1], "file", "frame is of the type list; it must be a pandas.DataFrame"),
        (lambda frame: frame, "path", "column is 'path'; it must be the name of one column of the frame: file, price"),
        (lambda frame: frame[["file", "file"]], "file", "column is 'file'; it must be the name of one column"),
        (lambda frame: frame.assign(label=1), "file", "the frame has the column label, which the results add"),
        (lambda frame: frame.assign(file=None), "file", "image 0 is of the type NoneType; it must be a path or "),
        (lambda frame: frame, "price", "image 0 is of the type int; it must be a path or the bytes of an image"),
        (lambda frame: frame.assign(file=""), "file", "image 0 is an empty text; it must be the path of an image"),
    ],
)
def test_an_unsuitable_frame_is_refused_before_anything_is_sent(
    predictions: Predictions, pipeline: Pipeline, frame: Any, change: Any, column: str, sentence: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        predictions.predict_frame(change(frame), column)
    assert pipeline.options == []


def test_a_wrong_option_is_refused(predictions: Predictions, frame: Any) -> None:
    with pytest.raises(ValueError, match="top_k is 0"):
        predictions.predict_frame(frame, top_k=0)


def test_with_asyncio(pipeline: Pipeline, frame: Any) -> None:
    async def main() -> Any:
        async with AsyncPredictions("p") as p:
            return await p.predict_frame(frame)

    assert list(asyncio.run(main())["label"]) == ["Coat", "", "", "Bag"]


def test_without_pandas_the_error_says_what_to_install(
    predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="predict_frame needs pandas: pip install pandas"):
        predictions.predict_frame("frame")  # type: ignore[arg-type, unused-ignore]
