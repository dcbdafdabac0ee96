"""The images of a training request: the same part for the same name, limits, and folders that are no class."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.training.errors import DatasetError
from model.training.retrain.data import TEST, TRAIN, VALIDATION, Limits, fetch_all, fetch_parts

LIMITS = Limits()


def place(folder: Path, **counts: int) -> Path:
    """A folder with images of each class, whose bytes are their names."""
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / label / f"{number}.jpg").write_text(f"{label} {number}")
    return folder


def parts(folder: Path) -> dict[str, set[str]]:
    """The images in each part, by what they hold."""
    return {part: {file.read_text() for file in (folder / part).rglob("*.jpg")} for part in (TRAIN, VALIDATION, TEST)}


def test_images_are_split_by_their_names(tmp_path: Path) -> None:
    data = place(tmp_path / "data", cat=200, dog=200)
    assert fetch_parts(str(data), tmp_path / "one", 0.1, LIMITS) == 400
    before = parts(tmp_path / "one")
    assert sum(map(len, before.values())) == len(set.union(*before.values())) == 400
    assert all(25 <= len(before[part]) <= 55 for part in (VALIDATION, TEST))
    place(data, cat=260, dog=200, bird=50)
    fetch_parts(str(data), tmp_path / "two", 0.1, LIMITS)
    after = parts(tmp_path / "two")
    assert all(before[part] <= after[part] for part in before), "an image stays in its part when others are added"


def test_every_class_is_in_every_part(tmp_path: Path) -> None:
    data = place(tmp_path / "data", cat=3, dog=4)
    fetch_parts(str(data), tmp_path / "one", 0.01, LIMITS)
    assert all({text.split()[0] for text in found} == {"cat", "dog"} for found in parts(tmp_path / "one").values())
    fetch_parts(str(data), tmp_path / "two", 0.3, LIMITS)
    assert all({text.split()[0] for text in found} == {"cat", "dog"} for found in parts(tmp_path / "two").values())


def test_parts_that_the_data_has_are_kept(tmp_path: Path) -> None:
    data = place(place(tmp_path / "data" / "train", cat=5, dog=5).parent / "val", cat=2, dog=2).parent
    assert fetch_parts(str(data), tmp_path / "one", 0.1, LIMITS) == 14
    found = parts(tmp_path / "one")
    assert len(found[TRAIN]) == 10 and found[TEST] == found[VALIDATION] == {"cat 0", "cat 1", "dog 0", "dog 1"}
    place(data / "test", cat=9, dog=9)
    fetch_parts(str(data), tmp_path / "two", 0.1, LIMITS)
    assert len(parts(tmp_path / "two")[TEST]) == 18
    place(data / "extra", cat=1)
    with pytest.raises(DatasetError, match="holds 'extra' next to train/; it must hold only train, validation, val"):
        fetch_parts(str(data), tmp_path / "three", 0.1, LIMITS)


@pytest.mark.parametrize(
    ("counts", "limits", "words"),
    [
        ({"cat": 5}, LIMITS, "holds 1 folders of images; it must hold one for each of at least two classes"),
        ({"cat": 5, "dog": 2}, LIMITS, "holds 2 images of 'dog'; it must hold at least three"),
        ({}, LIMITS, "holds no images"),
        ({"cat": 5, "dog": 5}, Limits(images=9), "holds more than 9 images"),
        ({"cat": 5, "dog": 5}, Limits(total_bytes=49), "have more than 49 bytes"),
        ({"cat": 5, "dog": 5}, Limits(image_bytes=4), "holds no images"),
        ({"cat\\": 5, "dog": 5}, LIMITS, r"holds the folder 'cat\\', which cannot be the name of a class"),
    ],
)
def test_data_that_cannot_be_used_is_refused(
    counts: dict[str, int], limits: Limits, words: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetError) as error:
        fetch_parts(str(place(tmp_path / "data", **counts)), tmp_path / "out", 0.1, limits)
    assert words in str(error.value)


def test_what_is_no_image_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = place(tmp_path / "data", cat=3, dog=3)
    (data / "cat" / "notes.txt").write_text("x")
    (data / "cat" / "empty.jpg").write_text("")
    (data / "cat" / ".hidden.jpg").write_text("x")
    (data / "cat" / "out.jpg").symlink_to("/etc/hostname")
    assert fetch_all(str(data), tmp_path / "all", LIMITS) == 6
    said = capsys.readouterr().err
    assert "1 .txt" in said and "1 empty, or over 20,000,000 bytes" in said and "1 hidden" in said
    assert "1 a symbolic link that leads out of the folder" in said
