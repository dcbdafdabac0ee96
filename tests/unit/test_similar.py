"""The index of features and the search in it: exact, of one model, in bounded memory, and safe with foreign files."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.__main__ import main
from client.gcp import UsageError
from client.results.record import Record
from client.results.result_files import open_writer
from client.similarity import index_file
from client.similarity.index_file import Unused, read_index, write_index
from client.similarity.search import nearest, place_of, vector_at
from client.whole_file import written_whole
from model.labels import Prediction

DIGEST = f"sha256:{'a' * 64}"


def row(number: int, vector: Any, **more: Any) -> Record:
    values: dict[str, Any] = {
        "file": f"photos/{number}.png",
        "request_id": f"r{number}",
        "status": "ok",
        "label": "Bag",
        "score": 0.5,
        "predictions": (Prediction("Bag", 0.5),),
        "model_name": "m",
        "model_version": "1",
        "model_digest": DIGEST,
        "features": base64.b64encode(np.asarray(vector, "<f2").tobytes()).decode(),
    }
    return Record(**values | more)


def vectors(count: int, width: int = 16) -> Any:
    return np.random.default_rng(count).normal(size=(count, width)).astype("<f2")


def written(path: Path, records: list[Record]) -> Path:
    writer = open_writer(path, lambda text: None)
    for record in records:
        writer.write(record)
    writer.close()
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_index(tmp_path / "made.npz", (row(n, vector) for n, vector in enumerate(vectors(20))))
    return tmp_path / "made.npz"


def test_the_nearest_images_are_those_of_the_smallest_angle(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_PART_BYTES", 7 * 16 * 2)  # in parts of seven vectors
    index, wanted = read_index(made), vectors(1)[0]
    real = vectors(20).astype(np.float64)
    cosines = real @ wanted / np.linalg.norm(real, axis=1) / np.linalg.norm(wanted.astype(np.float64))
    found = nearest(index, wanted, 5)
    assert [each.image.file for each in found] == [f"photos/{n}.png" for n in np.argsort(-cosines)[:5]]
    np.testing.assert_allclose([each.similarity for each in found], np.sort(cosines)[::-1][:5], atol=1e-3)
    for place in (0, 6, 7, 19):
        np.testing.assert_array_equal(vector_at(index, place), vectors(20)[place])
        assert place_of(index, f"photos/{place}.png") == place_of(index, f"r{place}") == place
        itself = nearest(index, vector_at(index, place), 1)[0]
        assert (itself.image.request_id, itself.similarity) == (f"r{place}", 1.0)
    assert len(nearest(index, wanted, 100)) == 20
    assert place_of(index, "other.png") is None


def test_an_image_without_a_direction_resembles_nothing(tmp_path: Path) -> None:
    write_index(tmp_path / "a.npz", [row(0, [0, 0]), row(1, [1, 2])])
    assert [each.similarity for each in nearest(read_index(tmp_path / "a.npz"), np.array([0, 0], "<f2"), 2)] == [0, 0]
    with pytest.raises(UsageError, match=r"the image has 3 features; each image of .*a\.npz has 2"):
        nearest(read_index(tmp_path / "a.npz"), np.array([0, 0, 1], "<f2"), 2)


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl", "run.sqlite", "run.parquet"])
def test_results_of_every_format_are_indexed_and_searched(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    rows = [row(n, vector) for n, vector in enumerate(vectors(4))]
    rows[2] = row(2, rows_vector := vectors(9)[8], label="=1+1")
    run = written(tmp_path / name, [*rows, Record(file="bad.png", status="error", error_code="invalid_image")])
    index = str(tmp_path / "a.npz")
    assert main(["index", str(run), "--out", index], {}) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{index}: 4 images, 16 features, m\n"
    assert "1 rows have no features and are left out" in shown.err
    assert main(["similar", "photos/2.png", "--index", index, "--top", "2", "--json"], {}) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_digest"] == DIGEST and len(found["similar"]) == 2
    assert "photos/2.png" not in [each["file"] for each in found["similar"]], "the image itself is left out"
    assert main(["similar", "r0", "--index", index], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "label", "similarity"] and len(lines) == 4
    assert any("=1+1" in line for line in lines)
    with np.load(index) as packed:
        np.testing.assert_array_equal(packed["vectors"][2], rows_vector)
        assert json.loads(packed["index.json"])["images"][2]["file"] == "photos/2.png"


def test_a_later_row_of_a_file_replaces_an_earlier_one(tmp_path: Path) -> None:
    old, new = vectors(2)
    rows = [row(0, old), row(0, old), row(1, old), row(0, new, request_id="r9")]
    index, unused = write_index(tmp_path / "a.npz", rows)
    assert ([each.request_id for each in index.images], unused) == (["r9", "r1"], Unused(0, 1))
    np.testing.assert_array_equal(vector_at(read_index(tmp_path / "a.npz"), 0), new)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(0, [1, 2]), row(1, [1, 2], model_digest=f"sha256:{'b' * 64}")], "of several models, such as sha256:a"),
        ([row(0, [1, 2]), row(1, [1, 2, 3])], "of several models"),
        ([row(0, [1, 2], features="")], "no row of the results has features; send the images with --features"),
        ([], "no row of the results has features"),
        (
            [row(0, [1, 2], model_digest="")],
            r"the features of photos/0\.png are of an unknown model: its model_digest is",
        ),
        ([row(0, [1, 2], model_digest="latest")], "unknown model: its model_digest is 'latest'; send the image again"),
        ([row(0, [1, 2], features="%")], r"the features of photos/0\.png are damaged"),
        ([row(0, [1, 2], features="YWJj")], r"the features of photos/0\.png are damaged"),
        ([row(0, [1, np.inf])], r"the features of photos/0\.png are damaged"),
    ],
)
def test_rows_that_make_no_index_are_refused(rows: list[Record], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"an older file")
    with pytest.raises(UsageError, match=said):
        write_index(tmp_path / "a.npz", rows)
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_bytes() == b"an older file"


def test_an_index_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "MAX_IMAGES", 3)
    write_index(tmp_path / "a.npz", [row(n % 3, [1, n]) for n in range(9)])
    with pytest.raises(UsageError, match="more than 3 images with features, the most of an index"):
        write_index(tmp_path / "a.npz", [row(n, [1, n]) for n in range(4)])


def test_memory_does_not_grow_with_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_PART_BYTES", 100_000)
    features = row(0, vectors(1, 4_096)[0]).features
    rows = (row(n, [1], features=features) for n in range(1_000))
    tracemalloc.start()
    index, _ = write_index(tmp_path / "a.npz", rows)
    nearest(read_index(tmp_path / "a.npz"), vector_at(index, 999), 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 8_000_000 > 2 * peak


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def packed(path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents.items():
            file.writestr(name, data)


def about(**more: Any) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda held: held | {"index.json": json.dumps(json.loads(held["index.json"]) | more).encode()}


BAD: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "no vectors": lambda held: {"index.json": held["index.json"]},
    "another file": lambda held: held | {"more.npy": b""},
    "no JSON": lambda held: held | {"index.json": b"{"},
    "deep JSON": lambda held: held | {"index.json": b"[" * 100_000},
    "another format": about(format="predictions-index-9"),
    "no model": about(model=None),
    "no digest": about(model={"name": "m", "version": "1", "digest": ""}),
    "a name for a digest": about(model={"name": "m", "version": "1", "digest": "latest"}),
    "a vector of no numbers": lambda held: (
        held | {"vectors.npy": held["vectors.npy"][:-32] + np.full(16, np.nan, "<f2").tobytes()}
    ),
    "no images": about(images=[]),
    "images of another kind": about(images=[1] * 20),
    "an image too many": about(images=[{"file": "a", "request_id": "b", "label": "c"}] * 21),
    "no array": lambda held: held | {"vectors.npy": b"vectors"},
    "a pickle": lambda held: held | {"vectors.npy": held["vectors.npy"].replace(b"'<f2'", b"'|O' ")},
    "other numbers": lambda held: held | {"vectors.npy": held["vectors.npy"].replace(b"'<f2'", b"'<i2'")},
    "vectors too short": lambda held: held | {"vectors.npy": held["vectors.npy"][:-2]},
    "vectors too long": lambda held: held | {"vectors.npy": held["vectors.npy"] + b"ab"},
}


@pytest.fixture
def damaged(made: Path) -> Iterator[Callable[[str], Path]]:
    def damage(name: str) -> Path:
        packed(made, BAD[name](entries(made)))
        return made

    yield damage


@pytest.mark.parametrize("name", BAD)
def test_a_foreign_file_is_refused_by_name(name: str, damaged: Callable[[str], Path]) -> None:
    path = damaged(name)
    with pytest.raises(
        UsageError, match=r"made\.npz is no index, or is damaged \(.+\); predictions index writes"
    ) as why:
        nearest(read_index(path), vectors(1)[0], 3)
    assert len(str(why.value)) - len(str(path)) < 250 and "\n" not in str(why.value)


@pytest.mark.parametrize("size", [0, 1, 100, 500, 1_500])
def test_a_torn_file_is_refused_by_name(size: int, made: Path) -> None:
    made.write_bytes(made.read_bytes()[:size])
    with pytest.raises(UsageError, match=r"made\.npz is no index, or is damaged"):
        read_index(made)


def test_a_changed_bit_of_a_vector_is_found(made: Path) -> None:
    data = bytearray(made.read_bytes())
    data[data.index(vectors(20)[7].tobytes())] ^= 1
    made.write_bytes(data)
    with pytest.raises(UsageError, match=r"made\.npz is no index, or is damaged"):
        nearest(read_index(made), vectors(1)[0], 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["similar", "shoe.png", "--index", "none.npz"], "none.npz cannot be read: no such file or directory"),
        (["similar", "shoe.png", "--index", "made.npz"], "shoe.png is no image of made.npz, and no file"),
        (["similar", "r1", "--index", "made.npz", "--top", "0"], "0 is not a whole number from 1 to 1,000"),
        (
            ["similar", "r1", "--index", "made.npz", "--rate", "3"],
            "--rate: nothing is sent, because the image is in the",
        ),
        (["index", "run.txt"], "run.txt is no results file"),
        (["index", "run.jsonl", "--out", "run.jsonl"], "run.jsonl is another kind of file; the name must end in .npz"),
        (
            ["report", "run.jsonl", "--out", "run.jsonl"],
            "run.jsonl is another kind of file; the name must end in .html",
        ),
        (["index", "run.jsonl", "--out", "no/where.npz"], "no/where.npz cannot be written: no such file or directory"),
    ],
)
def test_wrong_usage_is_said(
    words: list[str], said: str, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made.parent)
    written(made.parent / "run.jsonl", [row(0, [1, 2])])
    before = (made.parent / "run.jsonl").read_bytes()
    assert main(words, {}) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert (made.parent / "run.jsonl").read_bytes() == before


def test_what_is_not_read_or_left_out_is_said(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made.parent)
    Path("photos").mkdir()
    Path("photos/1.png").write_bytes(b"another image of this name")
    assert main(["similar", "photos/1.png", "--index", "made.npz"], {}) == 0
    said = "photos/1.png is in the index: its features are used, and the file is not read"
    assert said in capsys.readouterr().err
    written(Path("run.jsonl"), [row(0, [1, 2]), row(0, [3, 4], request_id="r9"), row(1, [5, 6])])
    assert main(["index", "run.jsonl", "--out", "b.npz"], {}) == 0
    assert "1 rows are left out, because a later row has the same file" in capsys.readouterr().err


def test_two_processes_may_write_the_same_index(tmp_path: Path) -> None:
    first, second = ([row(n, vector, request_id=f"{who}{n}") for n, vector in enumerate(vectors(20))] for who in "ab")
    with written_whole(tmp_path / "a.npz") as part:
        part.write_bytes(b"half of an index")
        write_index(tmp_path / "a.npz", second)
        assert read_index(tmp_path / "a.npz").images[0].request_id == "b0", "the half of the other one is not taken"
        part.unlink()
        write_index(part, first)
    assert read_index(tmp_path / "a.npz").images[0].request_id == "a0"
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]
