"""`evaluate` on a user's own images: folders, lists and IDX files, metrics, and a report that escapes hostile names."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import shutil
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.__main__ import main
from model.artifact.evaluation import KEPT, parse_evaluation
from model.artifact.load import EVALUATION, read_artifact
from model.errors import ArtifactError
from model.text import printable
from model.training.data import idx
from model.training.data.labelled import LabelledImage, parse_mapping, read_labelled
from model.training.errors import DatasetError
from model.training.evaluation.evaluate import evaluate
from tests.samples import encoded

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"
LABELS = idx.FASHION_MNIST_LABELS
HOSTILE = '<img src=x onerror="alert(1)">&amp;{{ 7 * 7 }}\x1b[31m\u202e.png'


@pytest.fixture(scope="module")
def images(shared_data: Path) -> idx.Split:
    return idx.load("test", shared_data / "fashion-mnist").take(np.arange(60))


@pytest.fixture
def folders(images: idx.Split, tmp_path: Path) -> Path:
    """A folder for each class; those of T-shirts, which cannot be in a file name, are called tee."""
    for row, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        folder = tmp_path / "photos" / LABELS[label].replace("T-shirt/top", "tee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row}.png")
    return tmp_path / "photos"


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main(["evaluate", str(SHIPPED), "--engine", "litert", "--json", *map(str, arguments)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["evaluate", str(SHIPPED), "--engine", "litert", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err
    return said.err


def test_folders_are_classes(folders: Path, images: idx.Split, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys, "--data", folders, "--map", "tee=T-shirt/top")
    assert (found["model"], found["engine"], found["images"]) == ("fashion-mnist", "litert", 60)
    assert 0.8 < found["accuracy"] <= found["top_k"]["2"] <= found["top_k"]["3"] <= found["top_k"]["5"] <= 1
    assert found["parameters"] > 100_000 and found["size_bytes"] == (SHIPPED / "model.tflite").stat().st_size
    counts = np.array(found["confusion"]["counts"])
    assert counts.sum() == 60 and np.trace(counts) == round(found["accuracy"] * 60)
    assert counts.sum(axis=1).tolist() == np.bincount(images.labels, minlength=10).tolist()
    assert set(found["classes"]["Coat"]) == {"images", "answers", "precision", "recall", "f1"}
    assert set(found["macro"]) == {"precision", "recall", "f1"}
    assert 0 <= found["calibration"]["error"] < 0.5
    assert found["baselines"]["majority"] == pytest.approx(np.bincount(images.labels).max() / 60)
    assert 0.3 < found["baselines"]["logistic_regression"] < 1
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]
    assert 0 < found["images_per_second"]["from_bytes"] < found["images_per_second"]["scoring"]


def test_every_way_to_the_same_images_gives_the_same_figures(
    folders: Path, images: idx.Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_folder = evaluated(capsys, "--data", folders, "--map", "tee=T-shirt/top")
    listed = tmp_path / "labels.csv"
    rows = [(path.relative_to(folders), path.parent.name) for path in folders.glob("*/*.png")]
    listed.write_text("file,label\n" + "".join(f"{file},{label}\n" for file, label in rows), "utf-8-sig")
    by_list = evaluated(capsys, "--data", folders, "--labels", listed, "--map", "tee=T-shirt/top")
    idx = tmp_path / "idx"
    idx.mkdir()
    (idx / "my-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">4I", 2051, 60, 28, 28) + images.images.tobytes())
    )
    (idx / "my-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">2I", 2049, 60) + images.labels.astype(np.uint8).tobytes())
    )
    by_idx, by_file = (evaluated(capsys, "--data", path) for path in (idx, idx / "my-images-idx3-ubyte.gz"))
    for other in (by_list, by_idx, by_file):
        for key in ("accuracy", "confusion", "classes", "top_k", "macro", "skipped"):
            assert other[key] == by_folder[key], key


def test_an_evaluation_is_kept_in_its_artifact(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(SHIPPED, tmp_path / "copy", ignore=shutil.ignore_patterns("training", EVALUATION))
    words = ["evaluate", str(copy), "--engine", "litert", "--data", str(folders), "--map", "tee=T-shirt/top"]
    assert main([*words, "--save", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    content = (copy / EVALUATION).read_bytes()
    kept = parse_evaluation(content, found["digest"], EVALUATION)
    assert kept == {name: found[name] for name in KEPT} | {"schema_version": 1, "data": "photos", "skipped": 0}
    assert read_artifact(copy).digest == read_artifact(SHIPPED).digest and str(tmp_path) not in content.decode()
    with pytest.raises(ArtifactError, match=r"it is about 'sha256:.*evaluate the model again"):
        parse_evaluation(content, "sha256:0", EVALUATION)
    for name, wrong in (("accuracy", 2), ("accuracy", True), ("images", "x"), ("macro", None), ("confusion", {})):
        with pytest.raises(ArtifactError, match=EVALUATION):
            parse_evaluation(json.dumps(kept | {name: wrong}).encode(), found["digest"], EVALUATION)


def test_the_shipped_evaluation_is_that_of_the_card() -> None:
    card, artifact = (SHIPPED / "MODEL_CARD.md").read_text(), read_artifact(SHIPPED)
    kept = parse_evaluation((SHIPPED / EVALUATION).read_bytes(), artifact.digest, EVALUATION)
    assert f"gets **{kept['accuracy']:.2%}** right on the {kept['images']:,} {kept['data']}" in card
    for label, figures in kept["classes"].items():
        assert f"| {label} | {figures['recall']:.1%} |" in card


def test_several_labels_may_be_right(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = evaluated(capsys, "--data", folders, "--map", "tee=T-shirt/top")
    lenient = "|".join(LABELS)
    kind = evaluated(
        capsys, "--data", folders, "--map", f"tee={lenient}", *(f"{label}={lenient}" for label in LABELS[1:])
    )
    assert strict["accuracy"] < kind["accuracy"] == kind["top_k"]["2"] == kind["baselines"]["majority"] == 1
    without = evaluated(capsys, "--data", folders, "--map", "tee=")
    assert without["images"] == 60 - strict["classes"]["T-shirt/top"]["images"]


def test_a_miss_counts_for_the_correct_label_with_the_highest_score(folders: Path) -> None:
    kinds = ("Bag", "Trouser", "Sandal", "Ankle boot")
    several = {label.replace("T-shirt/top", "tee"): kinds for label in LABELS}
    found = evaluate(SHIPPED, "litert", folders, None, several)
    numbers = [LABELS.index(kind) for kind in kinds]
    scores, rows = found.scored.scores, np.arange(len(found.truth))
    assert set(found.truth.tolist()) <= set(numbers)
    assert scores[rows, found.truth].tolist() == scores[:, numbers].max(axis=1).tolist()
    missed = [truth for truth, best in zip(found.truth, found.best, strict=True) if truth != best]
    assert len(set(missed)) > 1, "not all misses are those of the first label"


def test_a_list_may_map_each_image(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,label,map\nx.jpg,blouse,Shirt|Pullover\ny.jpg,Coat,\n")
    first, second = read_labelled(tmp_path, LABELS, tmp_path / "a.csv", {})
    assert first == LabelledImage("x.jpg", tmp_path / "x.jpg", (LABELS.index("Shirt"), LABELS.index("Pullover")))
    assert second.right == (LABELS.index("Coat"),)


def test_unreadable_images_are_skipped_and_listed(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "Coat" / "torn.jpg").write_bytes(encoded("JPEG", (200, 200))[:700])
    (folders / "Coat" / "gone.png").symlink_to(folders / "nowhere.png")
    (folders / "Coat" / "notes.txt").write_text("no image, and not called one")
    (folders / "Coat" / "text.png").write_text("no image, but called one")
    (folders / "labels.csv").write_text(
        "file,label\n"
        + "".join(
            f"Coat/{name},Coat\n"
            for name in ("torn.jpg", "gone.png", "text.png", *(p.name for p in (folders / "Coat").glob("[0-9]*")))
        )
    )
    found = evaluated(capsys, "--data", folders, "--labels", folders / "labels.csv")
    reasons = {skipped["file"]: skipped["reason"] for skipped in found["skipped"]}
    assert set(reasons) == {"Coat/torn.jpg", "Coat/gone.png", "Coat/text.png"}
    assert reasons["Coat/gone.png"] == "it cannot be read: no such file or directory"
    assert found["images"] == len(list((folders / "Coat").glob("[0-9]*")))
    assert main(["evaluate", str(SHIPPED), "--data", str(folders), "--map", "tee=T-shirt/top", "--limit", "70"]) == 0
    said = capsys.readouterr()
    assert "of 60 images, 2 more could not be read" in said.out
    assert "skipped 'Coat/torn.jpg': " in said.err


def test_limit_takes_some_of_every_class(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys, "--data", folders, "--map", "tee=T-shirt/top", "--limit", "20")
    assert found["images"] == 20
    assert sum(figures["images"] > 0 for figures in found["classes"].values()) >= 8
    with pytest.raises(SystemExit):
        main(["evaluate", str(SHIPPED), "--limit", "0"])
    assert "--limit: 0 is not a whole number of at least 1" in capsys.readouterr().err


def test_unusable_input_is_reported(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--data", folders)
    assert "'tee' (" in said and "is not a label of the model" in said and "Map a class with --map CLASS=LABEL" in said
    assert "data is 'nowhere'; it must be a folder of images or an IDX file" in refusal(capsys, "--data", "nowhere")
    assert "map is 'tee'; it must look like CLASS=LABEL" in refusal(capsys, "--data", folders, "--map", "tee")
    assert "map 'tee' names 'Tee', which is not a label of the model; its labels are 'T-shirt" in refusal(
        capsys, "--data", folders, "--map", "tee=Tee"
    )
    assert "--labels and --map need --data" in refusal(capsys, "--map", "tee=T-shirt/top")
    (tmp_path / "empty").mkdir()
    assert "names no image in a class" in refusal(capsys, "--data", tmp_path / "empty")
    assert "have images-idx3 in its name" in refusal(capsys, "--data", SHIPPED / "labels.txt")
    (tmp_path / "images-idx3").write_bytes(b"\0\0\x08\x03")
    assert "images-idx3: IDX header is truncated" in refusal(capsys, "--data", tmp_path / "images-idx3")
    (tmp_path / "bad" / "Coat").mkdir(parents=True)
    (tmp_path / "bad" / "Coat" / "a.png").write_text("no image")
    assert "none of the 1 images can be used; the first, 'Coat/a.png': " in refusal(capsys, "--data", tmp_path / "bad")
    listed = tmp_path / "list.csv"
    for text, why in {
        "a,b\n": "names no image",
        "a,b\n1,2\n": "line 2 lacks",
        "file,label\na\0b,Coat\n": "line 2 lacks",
    }.items():
        listed.write_text(text)
        assert why in refusal(capsys, "--data", folders, "--labels", listed)
    assert "cannot be read: No such file" in refusal(capsys, "--data", folders, "--labels", "nowhere.csv")
    assert main(["evaluate", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"model evaluate: manifest.json is missing from {tmp_path}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,label\nx.jpg,Coat,Bag\n", "line 2 has more than the 2 values of the first line; a value with a comma"),
        ("file,label,map\nx.jpg,a,Shirt,Bag\n", "line 2 has more than the 3 values of the first line"),
        ("file,label,label\nx.jpg,Coat,Bag\n", "has several columns 'label'; each name must occur once"),
    ],
)
def test_a_list_with_values_that_would_be_left_out_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DatasetError, match=why):
        read_labelled(tmp_path, LABELS, tmp_path / "a.csv", {})


def test_a_mapping_that_would_be_left_out_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "a.csv"
    listed.write_text("file,label\nx.jpg,Coat\ny.jpg,my Tee\n")
    with pytest.raises(DatasetError, match="map names the class 'tea'; no image or several classes have this name"):
        read_labelled(tmp_path, LABELS, listed, {"my_tee": ("Bag",), "tea": ()})
    with pytest.raises(DatasetError, match="map names 'tee' twice"):
        parse_mapping(["tee=Coat", "tee=Bag"])
    (only,) = read_labelled(tmp_path, LABELS, listed, {"my_tee": ("Bag",), "COAT": ()})
    assert (only.name, only.right) == ("y.jpg", (LABELS.index("Bag"),))
    (tmp_path / "images-idx3").write_bytes(b"")
    with pytest.raises(DatasetError, match="--map needs folders or a list of images"):
        read_labelled(tmp_path, LABELS, None, {"Coat": ()})


def test_labels_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images-idx3").write_bytes(struct.pack(">4I", 2051, 1, 2, 2) + bytes(4))
    (tmp_path / "labels-idx1").write_bytes(struct.pack(">2I", 2049, 1) + b"\x0a")
    with pytest.raises(DatasetError, match=r"labels-idx1 holds the label 10; the model's are 0 to 9"):
        read_labelled(tmp_path, LABELS, None, {})


def test_a_mapping_may_name_several_labels() -> None:
    assert parse_mapping(["a=b", "c=d | e", "f=", "g=h=i"]) == {"a": ("b",), "c": ("d", "e"), "f": (), "g": ("h=i",)}


class Page(HTMLParser):
    """The elements and the text of a page, parsed like in a browser."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_self_contained_and_escapes_names(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in ("Trouser", "Bag"):  # mistakes, whatever the model: the same image cannot be both
        (folders / wrong / HOSTILE).write_bytes(encoded())
    torn = os.fsencode(folders / "Coat") + b"/\xff<script>.png"  # no text in any encoding
    Path(os.fsdecode(torn)).write_text("no image")
    report = tmp_path / "build" / "report.html"
    evaluated(capsys, "--data", folders, "--map", "tee=T-shirt/top", "--report", report)
    text = report.read_text("utf-8")
    page = Page(text)
    assert all(line.isprintable() for line in text.split("\n"))
    assert printable(HOSTILE) in page.text and "\\udcff<script>.png" in page.text
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        assert (attributes.get("src") or "data:").startswith("data:")
        assert "href" not in attributes
    assert "default-src 'none'" in text and "{{ 7 * 7 }}" in text and "49\x1b" not in text
    sources = [attributes["src"] or "" for tag, attributes in page.elements if tag == "img"]
    assert sources
    for source in sources:
        data = re.fullmatch(r"data:image/png;base64,(.+)", source)
        assert data
        assert max(Image.open(io.BytesIO(base64.b64decode(data[1]))).size) <= 112
    for words in ("Confusion matrix", "macro", "always the most frequent label", "calibration error", "Skipped"):
        assert words in page.text, words
    said = refusal(
        capsys, "--data", folders, "--map", "tee=T-shirt/top", "--report", folders / "Bag" / HOSTILE / "r.html"
    )
    assert "cannot be written" in said and said.rstrip("\n").isprintable()


def test_without_images_the_dataset_is_evaluated(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(shared_data)
    monkeypatch.setenv("SHARED", str(tmp_path))
    assert main(["evaluate", str(SHIPPED), "--engine", "litert", "--limit", "20"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("fashion-mnist ") and " of 20 images\n" in said and "baselines: majority" in said


def test_images_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "Coat").mkdir(parents=True)
    (tmp_path / "key.png").write_bytes(encoded())
    listed = tmp_path / "labels.csv"
    for name in ("../key.png", str(tmp_path / "key.png"), "Coat/../../key.png"):
        listed.write_text(f"file,label\n{name},Coat\n")
        with pytest.raises(DatasetError, match=r"labels.csv line 2 names '.*key.png'; it must name a file in .*data"):
            read_labelled(tmp_path / "data", LABELS, listed, {})
    (tmp_path / "data" / "Coat" / "link.png").symlink_to(tmp_path / "key.png")
    with pytest.raises(DatasetError, match=r"link.png is a symbolic link that leads out of .*data"):
        read_labelled(tmp_path / "data", LABELS, None, {})


def test_only_the_labels_that_occur_are_listed(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coats = tmp_path / "other"
    coats.mkdir()
    (folders / "Coat").rename(coats / "coat")
    found = evaluated(capsys, "--data", coats)
    labels = list(found["classes"])
    assert "Coat" in labels and len(labels) < len(LABELS)
    assert found["confusion"]["labels"] == labels
    assert np.array(found["confusion"]["counts"]).shape == (len(labels), len(labels))
    assert np.array(found["confusion"]["counts"]).sum() == found["images"]
    report = tmp_path / "report.html"
    assert main(["evaluate", str(SHIPPED), "--data", str(coats), "--report", str(report)]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "  of " in line]
    assert rows == [label.split()[0] for label in labels]
    assert report.read_text().count('<th scope="row">') == len(labels)
