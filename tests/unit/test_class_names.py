"""Labels of imported models, and their agreement with the model's outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.training.errors import SourceError
from model.training.importing.labels import labels_for, read_labels


def test_imagenets_labels_are_distinct(shared_data: Path) -> None:
    labels = labels_for(1000, None)
    assert len(set(labels)) == 1000
    assert labels[:2] == ("tench", "goldfish")
    assert labels[258] == "Samoyed"
    assert [label for label in labels if label.startswith("crane")] == ["crane (n02012849)", "crane (n03126707)"]
    with_background = labels_for(1001, None)
    assert with_background == ("background", *labels)
    of_file = labels_for(1001, shared_data / "weights" / "imagenet_labels.txt")
    assert (of_file[0], of_file[259]) == ("background", "Samoyed, Samoyede")


def test_labels_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog \n")
    assert labels_for(2, tmp_path / "labels.txt") == ("cat", "dog")
    (tmp_path / "index.json").write_text(json.dumps({"0": ["n1", "cat"], "1": ["n2", "cat"]}))
    assert read_labels(tmp_path / "index.json") == ("cat (n1)", "cat (n2)")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.txt", "cat\ndog\n", r"labels\.txt names 2 labels; the model gives 3 scores, one for each label"),
        ("labels.txt", "cat\n\ndog\n", "line 2 is empty"),
        ("index.json", "[]", "names 0 labels"),
        ("index.json", "3", "must be an object"),
        ("index.json", "{", "cannot be used"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=words):
        labels_for(3, tmp_path / name)


def test_scores_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the model gives 7 scores; --labels must name a file of 7 lines"):
        labels_for(7, None)
    with pytest.raises(SourceError, match="nowhere cannot be read: No such file"):
        labels_for(7, tmp_path / "nowhere")
