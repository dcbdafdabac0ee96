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
    "line ends of Windows": ("a.txt", "cat\r\ndog\r\n", ("cat", "dog")),
    "line ends of old Macs": ("a.txt", "cat\rdog\r", ("cat", "dog")),
    "blank last lines": ("a.txt", "cat\ndog\n\n \n", ("cat", "dog")),
    "a byte order mark, numbered": ("a.txt", "\ufeff0 cat\r\n1 dog\r\n", ("cat", "dog")),
    "a table": ("a.csv", "index,label\n0,cat\n1,dog\n", ("cat", "dog")),
    "a table, labels first": ("a.csv", "label,id\ncat,0\ndog,1\n", ("cat", "dog")),
    "a table in another order": ("a.csv", "id,name\n1,dog\n0,cat\n", ("cat", "dog")),
    "a table of Windows": ("a.csv", "\ufeffClass ID;Class Name\r\n0;cat\r\n1;dog\r\n\r\n", ("cat", "dog")),
    "a table with tabs": ("a.tsv", "id\tlabel\n0\tcat\n1\tdog\n", ("cat", "dog")),
    "a table with more columns": ("a.csv", "index,mid,display_name\n0,/m/1,cat\n1,/m/2,dog\n", ("cat", "dog")),
    "a table without places": ("a.csv", "label,animal\ncat,yes\ndog,yes\n", ("cat", "dog")),
    "a table of a data frame": ("a.csv", ",class\n0,cat\n1,dog\n", ("cat", "dog")),
    "a table with quotes": ("a.csv", 'index,label\n0,"tabby, cat"\n1,"a ""dog"""\n', ("tabby, cat", 'a "dog"')),
    "a label in brackets": ("a.txt", "[background]\ncat\n", ("[background]", "cat")),
    "a label in braces": ("a.txt", "{other}\ncat\n", ("{other}", "cat")),
}


@pytest.mark.parametrize("name", READ)
def test_lines_whose_labels_are_certain_are_read(name: str, tmp_path: Path) -> None:
    file, text, labels = READ[name]
    (tmp_path / file).write_text(text)
    assert read_labels(tmp_path / file) == labels


REFUSED = {
    "an unknown header": ("a.csv", "place,german\n0,Katze\n1,Hund\n", "first line 'place,german' has no number and"),
    "an unknown header, labels first": ("a.csv", "german,place\nKatze,0\nHund,1\n", "'german,place' has no number"),
    "a table with two columns of labels": ("a.csv", "label,name\ncat,0\ndog,1\n", "'label,name' has no number"),
    "a table that counts from 1": (
        "a.csv",
        "id,label\n1,cat\n2,dog\n",
        "line 2 has the id 1; they must be the numbers 0 to",
    ),
    "a table with a gap": ("a.csv", "id,label\n0,cat\n2,dog\n", "line 3 has the id 2; they must be the numbers 0 to 1"),
    "a table with a place twice": ("a.csv", "id,label\n0,cat\n0,dog\n", "line 3 has the id 0; they must be the"),
    "a table with other places": (
        "a.csv",
        "id,label\nn01,cat\nn02,dog\n",
        "line 2 has 'n01' as id; it must be a whole",
    ),
    "a table with more cells": ("a.csv", "id,label\n0,cat\n1,dog,eel\n", "line 3 has 3 cells; the header has 2"),
    "a table with an open quote": ("a.csv", 'id,label\n0,"cat\n1,dog\n', "is not CSV: unexpected end of data"),
    "a table with an empty label": ("a.csv", "id,label\n0,cat\n1,\n", "line 3 is empty"),
    "a table with a label twice": ("a.csv", "id,label\n0,cat\n1,dog\n2,cat\n", "line 2 and line 4 are both 'cat'"),
    "a table of images": (
        "a.csv",
        "file,label\n1.jpg,dog\n2.jpg,cat\n",
        "its column 'file' names images, whose labels",
    ),
    "a table of images and places": ("a.csv", "index,Image Path,label\n0,1.jpg,dog\n", "its column 'Image Path' names"),
    "a table without rows": ("a.csv", "id,label\n", "it holds no label"),
    "a label twice": ("a.txt", "cat\ndog\ncat\n", "line 1 and line 3 are both 'cat'; each label may occur once"),
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
