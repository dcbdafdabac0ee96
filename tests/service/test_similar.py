"""Similar images end to end: client, broker with its schema, worker process, shipped model, index and search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from client.__main__ import main
from client.results.result_files import read_records
from infra.local.twin import Delivery, Twin

NAMES = ("bag", "sneaker", "trouser", "coat")


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twin:
    """A twin, and some of the samples in the working folder's `photos`."""
    running = shared_twin("push")
    for name, value in running.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for sample in (root / "client" / "samples").iterdir():
        if sample.stem in NAMES:
            shutil.copy(sample, tmp_path / "photos")
    assert len(list((tmp_path / "photos").iterdir())) == len(NAMES)
    return running


def test_features_reach_results_an_index_and_the_nearest_images(twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    ways = {
        "publish": ["publish", "photos"],
        "upload": ["upload", "photos", "--bucket", twin.env["UPLOAD_BUCKET"]],
        "predict": ["predict", "photos", "--url", twin.env["WORKER_URL"]],
    }
    found = {}
    for name, command in ways.items():
        assert main([*command, "--features", "--output", f"{name}.jsonl"], twin.env) == 0
        found[name] = {row.file: row.features for row in read_records(Path(f"{name}.jsonl"), print)}
    assert found["publish"] == found["upload"] == found["predict"]
    assert len(set(found["publish"].values())) == len(NAMES) and all(found["publish"].values())
    assert main(["publish", "photos", "--output", "plain.jsonl"], twin.env) == 0
    assert not any(row.features for row in read_records(Path("plain.jsonl"), print))
    capsys.readouterr()

    for results in ("publish.jsonl", "job:last"):
        code = main(["index", results, "--out", "photos.npz", "--json"], twin.env)
        said = capsys.readouterr()
        if results == "job:last":
            assert (code, "no row of the results has features" in said.err) == (2, True), "the newest job has none"
        else:
            assert code == 0 and json.loads(said.out)["images"] == len(NAMES)
    [bag] = Path("photos").glob("bag.*")
    shutil.copy(bag, f"another{bag.suffix}")
    assert main(["similar", f"another{bag.suffix}", "--index", "photos.npz", "--top", "2", "--json"], twin.env) == 0
    first, second = json.loads(capsys.readouterr().out)["similar"]
    assert (first["file"], first["similarity"]) == (str(bag), 1.0) and second["similarity"] < 1
    assert main(["index", "job:last", "--out", "one.npz"], twin.env) == 0, "the image that was sent has features too"


def test_an_image_that_cannot_be_compared_is_said(twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "photos", "--features", "--output", "run.jsonl"], twin.env) == 0
    assert main(["index", "run.jsonl", "--out", "photos.npz"], twin.env) == 0
    lines = Path("run.jsonl").read_text()
    digest = json.loads(lines.splitlines()[0])["model_digest"]
    Path("run.jsonl").write_text(lines.replace(digest, f"sha256:{'0' * 64}"))
    assert main(["index", "run.jsonl", "--out", "other.npz"], twin.env) == 0
    Path("noise.png").write_bytes(b"no image")
    [bag] = Path("photos").glob("bag.*")
    shutil.copy(bag, "another.png")
    for image, index, said in (
        ("noise.png", "photos.npz", "invalid_image: "),
        ("another.png", "other.npz", "unknown_model: model is 'sha256:0000"),
    ):
        capsys.readouterr()
        assert main(["similar", image, "--index", index], twin.env) == 1
        shown = capsys.readouterr()
        assert (shown.out, said in shown.err) == ("", True), shown.err
