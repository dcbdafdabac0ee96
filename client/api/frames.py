"""Data frames of pandas, in and out: the images of a column, and the results as further columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from client.api.inputs import GivenImage, sole_image
from client.api.result import Result
from client.results.record import COLUMNS, NUMBERS, WHOLE_NUMBERS

if TYPE_CHECKING:
    from pandas import DataFrame

ADDED = tuple(name for name in COLUMNS if name != "file")
"""The columns that a data frame gets: those of a results file without the path, which the frame has."""


def image_cells(frame: DataFrame, column: str) -> Iterator[GivenImage]:
    """Return the images of a column, one a row, in the order of the rows.

    Raises TypeError or ValueError, before any image is sent, and ImportError without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("predict_frame needs pandas: pip install pandas") from None
    if not isinstance(frame, pandas.DataFrame):
        raise TypeError(f"frame is of the type {type(frame).__name__}; it must be a pandas.DataFrame")
    names = list(frame.columns)
    if names.count(column) != 1:
        listed = ", ".join(map(str, names))[:100]
        raise ValueError(f"column is {column!r}; it must be the name of one column of the frame: {listed}")
    if clashing := [name for name in ADDED if name in names]:
        raise ValueError(f"the frame has the column {clashing[0]}, which the results add; rename or drop it")
    return iter([sole_image(cell, row) for row, cell in enumerate(frame[column])])


def joined(frame: DataFrame, results: Sequence[Result]) -> DataFrame:
    """Return a copy of the frame with the results, one a row, in the order of the rows."""
    import pandas

    rows = [result.to_row() for result in results]
    types = dict.fromkeys(ADDED, "str") | dict.fromkeys(("predictions", "labels"), "object")
    types |= dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(WHOLE_NUMBERS, "Int64")
    added = {name: pandas.Series([row[name] for row in rows], index=frame.index, dtype=types[name]) for name in ADDED}
    return frame.assign(**added)
