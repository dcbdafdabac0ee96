"""A class is found under its label in another case or with other gaps; an unknown one gets similar labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.training.data.folders import read_images
from model.training.data.label_names import LabelNames
from model.training.data.labelled import read_labelled
from model.training.errors import DatasetError

LABELS = ("T-shirt/top", "Ankle boot", "tabby, tabby cat", "polar bear", "Polar Bear", "red fox")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Ankle boot", "Ankle boot"),
        ("ankle_boot", "Ankle boot"),
        ("ANKLE  BOOT", "Ankle boot"),
        ("_ankle_boot_", "Ankle boot"),
        ("t-shirt/TOP", "T-shirt/top"),
        ("polar bear", "polar bear"),
        ("Polar Bear", "Polar Bear"),
        ("polar_bear", None),
        ("anklet boot", None),
        ("ankle-boot", None),
        ("", None),
    ],
)
def test_a_name_finds_one_label_or_none(name: str, label: str | None) -> None:
    assert LabelNames(LABELS).find(name) == label


def test_an_unknown_name_gets_at_most_ten_similar_labels() -> None:
    many = tuple(f"breed number {number}" for number in range(1000))
    said = LabelNames(many).near("breed numbr 7")
    assert said.startswith("similar labels are 'breed number 7'") and said.count("'") == 20
    assert LabelNames((*many, "tabby, tabby cat")).near("Tabby") == "similar labels are 'tabby, tabby cat'"
    assert LabelNames(many).near("xyz") == "none of its 1,000 labels is similar"
    assert LabelNames(LABELS).near("xyz").startswith("its labels are 'T-shirt/top', 'Ankle boot', ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ankle_boot", "RED FOX"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"")
    return tmp_path


def test_folders_are_matched_wherever_labelled_images_are_read(folder: Path) -> None:
    assert [item.right for item in read_labelled(folder, LABELS, None, {})] == [(5,), (1,)]
    assert [file.label for file in read_images(folder, LABELS)[0]] == [5, 1]
    assert [item.right for item in read_labelled(folder, LABELS, None, {"ankle_boot": ("tabby,_TABBY cat",)})] == [
        (5,),
        (2,),
    ]


def test_an_unknown_class_of_a_thousand_labels_fits_in_one_line(folder: Path) -> None:
    many = tuple(f"ankle boat number {number} of a long list of labels" for number in range(1000))
    for read in (lambda: read_labelled(folder, many, None, {}), lambda: read_images(folder, many)):
        with pytest.raises(DatasetError, match="is not a label of the model") as refused:
            read()
        assert len(str(refused.value)) < 300 + len(str(folder)) and "\n" not in str(refused.value)
    with pytest.raises(DatasetError, match="map 'RED FOX' names 'fish', which is not a label of the model; none of "):
        read_labelled(folder, many, None, {"RED FOX": ("fish",)})
