"""JSON that the page's server encodes in parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.web.encoding import encoded


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        [[], {}, [[[[]]]]],
        {"a": {"b": {"c": {"d": [1, None, True, 1.5]}}}, '"\u2028': "\ud83d\ude00\ud800", "": []},
        {"confusion": {"labels": ["a"], "counts": [[1, 2], [3, 4]]}},
        "text",
        None,
    ],
    ids=str,
)
def test_the_parts_are_the_json_of_the_whole(value: Any) -> None:
    assert encoded(value) == json.dumps(value, separators=(",", ":")).encode()


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encoded({"score": [float("nan")]})
