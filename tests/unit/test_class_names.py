"""Labels of imported models, and their agreement with the model's outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.training.errors import SourceError
from model.training.importing.label_file import read_labels
from model.training.importing.labels import labels_for


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


def test_the_labels_of_the_model_s_file_come_after_those_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    own = ("x", "y")
    assert labels_for(2, None, own) == own
    assert labels_for(2, tmp_path / "labels.txt", own) == ("cat", "dog")
    with pytest.raises(
        SourceError, match="the model's file names 2 labels; the model gives 1000 scores, one for each label: name a"
    ):
        labels_for(1000, None, own)


CASES = {
    "a string is the label": ('{"0": "cat", "1": "dog"}', ("cat", "dog")),
    "Keras' index": ('{"0": ["n1", "cat"], "1": ["n2", "dog"]}', ("cat", "dog")),
    "out of order": ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
    "by name": ('{"dog": 1, "cat": 0}', ("cat", "dog")),
    "digits by name": ('{"0": 0, "1": 1}', ("0", "1")),
    "a list": ('["cat", "dog"]', ("cat", "dog")),
    "a list of pairs": ('[["n1", "cat"], ["n2", "cat"]]', ("cat (n1)", "cat (n2)")),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("file", ["labels.json", "labels.JSON", "labels.txt"])
def test_an_index_whose_places_are_certain_is_read(name: str, file: str, tmp_path: Path) -> None:
    text, labels = CASES[name]
    (tmp_path / file).write_text(text)
    assert read_labels(tmp_path / file) == labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"0": "cat", "1": 7}', "number 1 is '7'; it must be a label or"),
        ('{"0": "cat", "1": null}', "number 1 is 'null'"),
        ('{"0": "cat", "1": ["n1"]}', "number 1 is "),
        ('{"0": "cat", "1": ["n1", "dog", "x"]}', "number 1 is "),
        ('{"0": "cat", "1": ["n1", 3]}', "number 1 is "),
        ('{"0": "cat", "1": {"name": "dog"}}', "number 1 is "),
        ('{"0": "cat", "1": ""}', "number 1 is empty"),
        ('{"0": "cat", "1": "a\\nb"}', "number 1 is 'a.nb'; control characters are not allowed"),
        ('{"0": "cat", "2": "dog"}', "the numbers of its labels are not 0 to 1"),
        ('{"1": "cat", "2": "dog"}', "the numbers of its labels are not 0 to 1"),
        ('{"00": "cat", "1": "dog"}', "the numbers of its labels are not 0 to 1"),
        ('{"cat": 1, "dog": 2}', "the numbers of its labels are not 0 to 1"),
        ('{"cat": 0, "dog": 0}', "the numbers of its labels are not 0 to 1"),
        ('{"cat": false, "dog": true}', "the numbers of its labels are not 0 to 1"),
        ('{"cat": 0.0, "dog": 1.0}', "the numbers of its labels are not 0 to 1"),
        ('{"cat": "0", "dog": "1"}', "the numbers of its labels are not 0 to 1"),
        ('{"0": 1, "1": 0}', "its keys and its values are both the numbers 0 to 1; it must be a list"),
        ('{"id2label": {"0": "cat", "1": "dog"}}', "the numbers of its labels are not 0 to 0"),
        ('{"0": "cat", "1": "dog", "1": "eel"}', "it names '1' more than once"),
        ('["cat", "dog", "cat"]', "number 0 and number 2 are both 'cat'; each label may occur once"),
        ('{"0": "cat", "1": "cat"}', "number 0 and number 1 are both 'cat'"),
        ('[["n1", "cat"], ["n1", "cat"]]', "names 'cat .n1.' more than once"),
        ("{}", "it must be "),
        ('"cat"', "it must be "),
        ("cat\ndog\n", "it is not JSON: Expecting value, line 1"),
    ],
)
def test_an_index_whose_places_are_uncertain_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(SourceError, match=words) as refused:
        read_labels(tmp_path / "labels.json")
    assert len(str(refused.value)) - len(str(tmp_path)) <= 300


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("0 Cat\n1 Dog\n", ("Cat", "Dog"), "the numbers 0 to 1 at the lines' beginnings are not part of the labels"),
        ("0: Cat\n1: Dog\n", ("Cat", "Dog"), "the numbers 0 to 1"),
        ("0,Cat\n1,Dog\n", ("Cat", "Dog"), "the numbers 0 to 1"),
        ("0\tCat\n1\tDog\n", ("Cat", "Dog"), "the numbers 0 to 1"),
        ("1 Cat\n2 Dog\n", ("1 Cat", "2 Dog"), "the labels keep their numbers 1 to 2"),
        ("0 Cat\n1 Dog\n3 Eel\n", ("0 Cat", "1 Dog", "3 Eel"), "do not count the lines: 1 and then 3"),
        ("1 euro\n2 euro\n5 euro\n", ("1 euro", "2 euro", "5 euro"), ""),
        ("0 stars\n1 star\n2 stars\n", ("0 stars", "1 star", "2 stars"), ""),
        ("0,1 mg\n1,2 mg\n", ("0,1 mg", "1,2 mg"), ""),
        ("0.5 m\n1.7 m\n", ("0.5 m", "1.7 m"), ""),
        ("7 Up\n3 Musketeers\n", ("7 Up", "3 Musketeers"), ""),
        ("0 Cat\nDog\n", ("0 Cat", "Dog"), ""),
        ("0\n1\n2\n", ("0", "1", "2"), ""),
        ("[0]\n[1]\n", ("[0]", "[1]"), ""),
    ],
)
def test_numbers_before_labels_are_left_out_when_they_count_the_scores(
    text: str, labels: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text(text)
    assert read_labels(tmp_path / "labels.txt") == labels
    printed = capsys.readouterr().err
    assert said in printed and bool(printed) == bool(said)


def test_numbers_in_another_order_than_the_lines_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("1 Dog\n0 Cat\n")
    with pytest.raises(SourceError, match=r"its lines are numbered 1, 0, …; they must be in the order of scores"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.txt", "cat\ndog\n", r"labels\.txt names 2 labels; the model gives 3 scores, one for each label"),
        ("labels.txt", "cat\n\ndog\n", "line 2 is empty"),
        ("labels.csv", "id,label\n0,cat\n1,dog\n", r"labels\.csv names 2 labels; the model gives 3 scores"),
        ("index.json", "[]", "it holds no label"),
        ("index.json", "3", "it must be "),
        ("index.json", "{", "it is not JSON"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=words):
        labels_for(3, tmp_path / name)


def test_imagenets_lists_repeat_a_label(tmp_path: Path) -> None:
    lines = [f"label {number}" for number in range(1000)]
    lines[134] = lines[517] = "crane"
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    labels = labels_for(1000, tmp_path / "labels.txt")
    assert (labels[134], labels[517]) == ("crane (line 135)", "crane (line 518)")


def test_scores_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="the model gives 7 scores, one for each label: --labels must name a file of 7 lines"
    ):
        labels_for(7, None)
    with pytest.raises(SourceError, match="nowhere cannot be read: No such file"):
        labels_for(7, tmp_path / "nowhere")
