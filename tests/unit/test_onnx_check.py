"""An ONNX file is read as data: what is not ONNX's own, not in the file, or not as it declares is refused by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.engines import protobuf
from model.engines.onnx_check import MAX_DEPTH, OPSETS, check_onnx, is_onnx, read_onnx
from model.errors import ArtifactError
from tests.conftest import require

require("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.onnx_models import model, network, saved  # noqa: E402


def node(operator: str = "Identity", domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(operator, ["images"], ["scores"], domain=domain, **attributes)


def branch(*nodes: Any) -> Any:
    return helper.make_graph(list(nodes), "branch", [], [])


def nested(depth: int) -> Any:
    inner = node()
    for _ in range(depth - 1):
        inner = node("If", then_branch=branch(inner), else_branch=branch())
    return model([inner])


def function(name: str, *nodes: Any) -> Any:
    return helper.make_function("local", name, ["images"], ["scores"], list(nodes), [helper.make_opsetid("", 17)])


def with_functions(*functions: Any, called: str = "f0") -> Any:
    return model([node(called, "local")], domains=["local"], functions=functions)


def repeating(count: int, times: int) -> Any:
    """Functions of which each calls the one before it several times."""
    calls = [[node()], *([node(f"f{number}", "local")] * times for number in range(count - 1))]
    return with_functions(*(function(f"f{n}", *nodes) for n, nodes in enumerate(calls)), called=f"f{count - 1}")


def array(shape: list[int], **changes: Any) -> Any:
    made = numpy_helper.from_array(np.ones(4, np.float32), "huge")
    del made.dims[:]
    made.dims.extend(shape)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def sparse() -> Any:
    return helper.make_sparse_tensor(
        helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0]), numpy_helper.from_array(np.array([2])), [9]
    )


def with_sparse_weights() -> Any:
    made = model([node()])
    made.graph.sparse_initializer.append(sparse())
    return made


def with_array(made: Any) -> Any:
    return model([node()], arrays=[made])


def elsewhere(name: str, length: str = "16") -> Any:
    made = array([4], data_location=TensorProto.EXTERNAL)
    made.ClearField("raw_data")
    for key, value in (("location", name), ("offset", "0"), ("length", length)):
        made.external_data.add(key=key, value=value)
    return made


@pytest.mark.parametrize(
    ("made", "nodes"),
    [
        (lambda: network(), 4),
        (lambda: nested(3), 3),
        (lambda: nested(MAX_DEPTH), MAX_DEPTH),
        (lambda: with_functions(function("f0", node(), node())), 3),
        (lambda: repeating(3, 2), 1 + 2 + 4 + 4),
        (lambda: model([node("Scaler", "ai.onnx.ml")], domains=["ai.onnx.ml"]), 1),
        (lambda: with_array(array([2, 2])), 1),
        (lambda: with_array(array([0, 1 << 40])), 1),
        (lambda: with_array(helper.make_tensor("words", TensorProto.STRING, [2], [b"", b"a"])), 1),
        (lambda: with_array(helper.make_tensor("few", TensorProto.INT64, [3], [1, -1, 1 << 40])), 1),
        (lambda: with_array(helper.make_tensor("half", TensorProto.INT4, [4], [1, -1, 2, 3])), 1),
    ],
)
def test_a_file_of_onnx_s_own_operators_is_accepted(made: Callable[[], Any], nodes: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "made.onnx", made())
    check_onnx(path)
    assert (read_onnx(path).nodes, read_onnx(path).files) == (nodes, frozenset())
    assert is_onnx(path)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: model([node("Spy", "com.acme")]), r"runs the operator 'com\.acme\.Spy', which is not ONNX's own"),
        (lambda: model([node("EPContext", "com.microsoft")]), r"runs the operator 'com\.microsoft\.EPContext'"),
        (lambda: model([node("If", then_branch=branch(node("Spy", "x")), else_branch=branch())]), r"'x\.Spy'"),
        (lambda: with_functions(function("f0", node()), function("f1", node("Spy", "x"))), r"'x\.Spy'"),
        (lambda: with_functions(function("f0", node()), called="f1"), r"'local\.f1'"),
        (lambda: nested(MAX_DEPTH + 1), f"nests graphs or functions more than {MAX_DEPTH} deep"),
        (lambda: with_functions(function("f0", node("f0", "local"))), f"more than {MAX_DEPTH} deep"),
        (lambda: with_functions(function("f0", *[node("f0", "local")] * 2)), f"more than {MAX_DEPTH} deep"),
        (lambda: repeating(MAX_DEPTH + 5, 2), f"more than {MAX_DEPTH} deep"),
        (lambda: repeating(9, 6), r"runs [\d,]+ nodes; at most 1,000,000 are allowed"),
        (with_sparse_weights, "holds a sparse tensor; save its weights as dense ones"),
        (lambda: model([node("Constant", sparse_value=sparse())]), "holds a sparse tensor"),
        (lambda: with_array(array([1 << 31, 4])), r"an array of 8,589,934,592 numbers, 'huge', and holds 16 bytes"),
        (lambda: with_array(array([-4])), "declares an array of 9,223,372,036,854,775,808 numbers"),
        (lambda: with_array(array([1 << 62] * 64)), "declares an array of 9,223,372,036,854,775,808 numbers"),
        (lambda: model([node("Constant", value=array([10**9]))]), "an array of 1,000,000,000 numbers"),
        (lambda: with_array(array([1] * 65)), "an array of 65 dimensions"),
        (lambda: with_array(elsewhere("weights.bin")), "keeps weights in other files"),
        (lambda: model([node("Constant", value=elsewhere("w"))]), "keeps weights in other files"),
        (lambda: with_array(array([4], data_location=TensorProto.EXTERNAL)), "keeps weights in other files"),
        (lambda: with_array(elsewhere("w", "")), r"keeps weights in other files \('w'\) without stating their length"),
        (lambda: with_array(elsewhere("w", "-1")), "without stating their length"),
        (lambda: network(opset=OPSETS[0] - 1), r"opset 6; it must be from 7 to 28"),
        (lambda: network(opset=OPSETS[-1] + 1), r"opset 29; it must be from 7 to 28"),
        (lambda: helper.make_model(branch(), opset_imports=[]), "names no version of its operators"),
    ],
)
def test_what_a_served_model_must_not_hold_is_named(made: Callable[[], Any], words: str, tmp_path: Path) -> None:
    built = made()
    if "names no version" in words:
        del built.opset_import[:]
    with pytest.raises(ArtifactError, match=words) as caught:
        check_onnx(saved(tmp_path / "made.onnx", built))
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300


def test_the_places_of_weights_are_reported(tmp_path: Path) -> None:
    made = model([node("Constant", value=elsewhere("sub/a"))], arrays=[elsewhere("../b"), array([4])])
    found = read_onnx(saved(tmp_path / "made.onnx", made))
    assert found.files == {"sub/a", "../b"} and found.bytes_of_files == 32


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"nonsense", b"\x08", b"\x08\x08", b"PK\x03\x04" + bytes(90), b"\xff" * 99]
)
def test_other_files_are_no_onnx_models(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "made.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match="is not an ONNX model, or it is truncated or damaged"):
        check_onnx(tmp_path / "made.onnx")
    assert not is_onnx(tmp_path / "made.onnx") and not is_onnx(tmp_path / "gone.onnx") and not is_onnx(tmp_path)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """Any byte may be another, and the file may end anywhere: nothing but ArtifactError is raised."""
    good = nested(3).SerializeToString() + repeating(3, 2).SerializeToString() + network().SerializeToString()
    chance = random.Random(0)
    refused = 0
    for _ in range(1_500):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / "made.onnx").write_bytes(data[: chance.choice([len(data), chance.randrange(1, len(data))])])
        try:
            check_onnx(tmp_path / "made.onnx")
        except ArtifactError:
            refused += 1
    assert refused > 500


def test_the_count_of_fields_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "made.onnx", with_array(array([1] * 60)))
    check_onnx(path)
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 50)
    with pytest.raises(ArtifactError, match="more than 50 fields"):
        check_onnx(path)
