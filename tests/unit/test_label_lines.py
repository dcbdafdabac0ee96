"""Text files of labels that people and other tools write: their labels are certain, or the file is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.labels import parse_labels
from model.training.errors import SourceError
from model.training.importing.label_file import read_labels

READ = {
    "labels before numbers": ("a.csv", "cat,0\ndog,1\nbird,2\n", ("cat", "dog", "bird")),
    "labels before numbers, tabs": ("a.tsv", "cat\t0\ndog\t1\n", ("cat", "dog")),
    "labels before numbers, colons": ("a.txt", "cat: 0\ndog: 1\n", ("cat", "dog")),
    "labels before numbers, semicolons": ("a.csv", "cat;0\r\ndog;1\r\n", ("cat", "dog")),
    "labels that differ in their numbers only": ("a.txt", "class 0\nclass 1\n", ("class 0", "class 1")),
    "labels before numbers from 1": ("a.txt", "cat 1\ndog 2\n", ("cat 1", "dog 2")),
    "quoted, as CSV does": ("a.csv", '0,"tabby, cat"\n1,dog\n2,"say ""x"""\n', ("tabby, cat", "dog", 'say "x"')),
    "quoted before numbers": ("a.csv", '"tabby, cat",0\ndog,1\n', ("tabby, cat", "dog")),
    "inches": ("a.txt", '5"\n6"\n', ('5"', '6"')),
    "numbers with dashes": ("a.txt", "0 - cat\n1 - dog\n", ("cat", "dog")),
    "numbers with dashes, close": ("a.txt", "0-cat\n1-dog\n", ("cat", "dog")),
    "ranges": ("a.txt", "0-1 years\n1-2 years\n", ("0-1 years", "1-2 years")),
    "equals signs": ("a.txt", "0=cat\n1=dog\n", ("cat", "dog")),
    "brackets around numbers": ("a.txt", "[0] cat\n[1] dog\n", ("cat", "dog")),
    "equal labels with numbers": ("a.txt", "0 Cat\n1 Cat\n2 Dog\n", ("0 Cat", "1 Cat", "2 Dog")),
    "numbers": ("a.txt", "2\n0\n1\n", ("2", "0", "1")),
    "a label in brackets": ("a.txt", "[background]\ncat\n", ("[background]", "cat")),
    "a label in braces": ("a.txt", "{other}\ncat\n", ("{other}", "cat")),
}


@pytest.mark.parametrize("name", READ)
def test_lines_whose_labels_are_certain_are_read(name: str, tmp_path: Path) -> None:
    file, text, labels = READ[name]
    (tmp_path / file).write_text(text)
    assert read_labels(tmp_path / file) == labels


REFUSED = {
    "a header": ("a.csv", "index,label\n0,cat\n1,dog\n", "first line 'index,label' has no number and the others have"),
    "a header, labels first": ("a.csv", "label,id\ncat,0\ndog,1\n", "first line 'label,id' has no number"),
    "labels before other numbers": ("a.csv", "dog,1\ncat,0\n", "its lines are numbered 1, 0, …; they must be in the "),
    "labels before other numbers, spaces": ("a.txt", "dog 1\ncat 0\n", "its lines are numbered 1, 0"),
    "a dictionary of Python": ("a.txt", "{'cat': 0,\n 'dog': 1}", "begins as a list, with \"{'cat': 0,\", and is not"),
    "a list of Python": ("a.txt", "['cat',\n 'dog']", "and is not JSON"),
    "JSON with a comma too many": ("a.txt", '[\n"cat",\n"dog",\n]', r"begins as a list, with '\[', and is not JSON"),
    "lines of JSON objects": ("a.jsonl", '{"label": "cat"}\n{"label": "dog"}\n', "and is not JSON"),
    "lines of JSON lists": ("a.jsonl", '["n1", "cat"]\n["n2", "dog"]\n', "and is not JSON"),
    "YAML": ("a.yaml", "names:\n  0: cat\n  1: dog\n", r"a \.yaml file is not read"),
    "YAML in capitals": ("a.YML", "cat: 0\ndog: 1\n", r"a \.YML file is not read"),
    "bullets": ("a.txt", "- cat\n- dog\n", "each line begins with a dash, as in '- cat'"),
    "commas": ("a.txt", '"cat",\n"dog",\n"bird"\n', "each line ends with a comma"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lines_of_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    file, text, words = REFUSED[name]
    (tmp_path / file).write_text(text)
    with pytest.raises(SourceError, match=words) as refused:
        read_labels(tmp_path / file)
    assert len(str(refused.value)) - len(str(tmp_path)) <= 300


@pytest.mark.parametrize("label", ["cat\u2028x", "cat\u2029x", "cat\ud800", "cat\x85x"])
def test_a_label_that_labels_txt_cannot_hold_is_refused(label: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps([label, "dog"]))
    with pytest.raises(SourceError, match=r"number 0 is 'cat.*'; control characters are not allowed"):
        read_labels(tmp_path / "labels.json")


def test_labels_keep_what_labels_txt_can_hold() -> None:
    assert parse_labels("café\u00a0au lait\n猫\u200d🐈\n") == ("café\u00a0au lait", "猫\u200d🐈")
