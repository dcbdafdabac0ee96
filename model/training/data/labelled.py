"""Reads labelled images for an evaluation: one folder per class, a CSV list of files, or IDX files.

A class may have another name than the model's label, and several labels may be correct for it: see `ClassMap`.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.image_folder import images_in
from model.links import leads_out
from model.text import quoted, read_text, reason
from model.training.data import idx
from model.training.data.folders import check_links, say_left_out
from model.training.data.label_names import LabelNames
from model.training.data.png import as_png
from model.training.errors import DatasetError

# Maps a class to the model's labels that are correct for it. An empty tuple leaves the class out.
ClassMap = Mapping[str, tuple[str, ...]]

_IMAGES, _LABELS = "images-idx3", "labels-idx1"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image: its name, its bytes or path, and the numbers of its correct labels (at least one)."""

    name: str
    source: bytes | Path
    right: tuple[int, ...]

    def read(self) -> bytes:
        """The image file's bytes. Raises OSError."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def read_labelled(data: Path, labels: Sequence[str], listed: Path | None, mapping: ClassMap) -> list[LabelledImage]:
    """Read the images at `data`: IDX files, or image files with the class from the CSV file `listed` or their folder.

    Raises DatasetError when there are none, when a class is neither a label of the model nor mapped, when a mapped
    class does not occur, or when a link or a listed name leads out of the folder.
    """
    names = LabelNames(labels)
    asked = _checked(mapping, names)
    if data.is_dir():
        check_links(data)
    if idx := None if listed else _find_idx(data):
        if mapping:
            raise DatasetError("--map needs folders or a list of images; IDX files hold numbers of labels")
        return _from_idx(idx, len(labels))
    if not data.is_dir():
        raise DatasetError(f"data is {str(data)!r}; it must be a folder of images or an IDX file")
    named = list(_from_list(data, listed) if listed else _from_folders(data))
    classes = Counter(each for _, _, found in named for each in found)
    mapping = _of_classes(asked, classes)
    known = {name: mapping[name] if name in mapping else _found(name, names) for name in classes}
    unknown = sorted(name for name in classes if known[name] is None)
    if unknown:
        first = unknown[0]
        others = f" ({len(unknown) - 1:,} more are none)" if unknown[1:] else ""
        raise DatasetError(
            f"{quoted(first)} ({classes[first]:,} images) is not a label of the model{others}; {names.near(first)}. "
            "Map a class with --map CLASS=LABEL, to several with |; --map CLASS= leaves it out"
        )
    items = []
    places = {label: place for place, label in enumerate(labels)}
    for name, path, answers in named:
        right = tuple(dict.fromkeys(places[label] for answer in answers for label in known[answer] or ()))
        if right:
            items.append(LabelledImage(name, path, right))
    if not items:
        raise DatasetError(f"{listed or data} names no image in a class; there must be at least one")
    return items


def labelled_images(part: idx.Split) -> list[LabelledImage]:
    """The images of a split as PNG files in memory."""
    pairs = enumerate(zip(part.images, part.labels, strict=True))
    return [LabelledImage(f"#{row}", as_png(image), (int(label),)) for row, (image, label) in pairs]


def parse_mapping(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read `CLASS=LABEL` and `CLASS=LABEL|LABEL`. Raises DatasetError."""
    mapping = {}
    for text in texts:
        name, mark, answers = text.partition("=")
        if not mark or not name:
            raise DatasetError(f"map is {text!r}; it must look like CLASS=LABEL or CLASS=LABEL|LABEL")
        if name in mapping:
            raise DatasetError(f"map names {quoted(name)} twice; several labels are separated by |")
        mapping[name] = _split(answers)
    return mapping


def _found(name: str, names: LabelNames) -> tuple[str, ...] | None:
    label = names.find(name)
    return None if label is None else (label,)


def _of_classes(mapping: ClassMap, classes: Collection[str]) -> ClassMap:
    """The mapping by the classes of the data, which it may name in another case."""
    names, made = LabelNames(list(classes)), dict[str, tuple[str, ...]]()
    for name, answers in mapping.items():
        found = names.find(name)
        if found is None:
            raise DatasetError(f"map names the class {quoted(name)}; no image or several classes have this name")
        made[found] = answers
    return made


def _checked(mapping: ClassMap, names: LabelNames) -> ClassMap:
    """The mapping to labels of the model, which it may name in another case."""
    made = {}
    for name, answers in mapping.items():
        found = {answer: names.find(answer) for answer in answers}
        if unknown := [answer for answer, label in found.items() if label is None]:
            raise DatasetError(
                f"map {quoted(name)} names {quoted(unknown[0])}, which is not a label of the model; "
                f"{names.near(unknown[0])}"
            )
        made[name] = tuple(label for label in found.values() if label is not None)
    return made


def _find_idx(data: Path) -> Path | None:
    """The IDX file of images at `data`: the file itself, or one in the folder, preferably that of the test split."""
    if data.is_file():
        return data
    found = sorted(data.glob(f"*{_IMAGES}*"), key=lambda path: (not path.name.startswith("t10k"), path.name))
    return found[0] if found else None


def _from_idx(path: Path, labels: int) -> list[LabelledImage]:
    labels_path = path.with_name(path.name.replace(_IMAGES, _LABELS))
    if _IMAGES not in path.name:
        raise DatasetError(f"data is {str(path)!r}; an IDX file of images must have {_IMAGES} in its name")
    images, numbers = _read_idx(path), _read_idx(labels_path)
    if images.ndim != 3 or numbers.shape != images.shape[:1] or not len(images):
        raise DatasetError(f"{path}: images {images.shape} and labels {numbers.shape} do not match")
    if numbers.max() >= labels:
        raise DatasetError(f"{labels_path} holds the label {numbers.max()}; the model's are 0 to {labels - 1}")
    pairs = enumerate(zip(images, numbers, strict=True))
    return [LabelledImage(f"{path.name}#{row}", as_png(image), (int(number),)) for row, (image, number) in pairs]


def _read_idx(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        data = path.read_bytes()
        return idx.read_idx(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, zlib.error) as exc:
        raise DatasetError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or 'it is damaged'}") from exc
    except DatasetError as exc:
        raise DatasetError(f"{path}: {exc}") from None


def _from_folders(data: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Take each image with the folder in `data` that it is in as its class. Images in no folder have no class."""
    say_left_out(data)
    for path in images_in(data).paths:
        name = path.relative_to(data)
        if len(name.parts) > 1:
            yield name.as_posix(), path, (name.parts[0],)


def _from_list(data: Path, listed: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Read rows `file,label`, with files relative to `data`. A third column `map` overrides the label of one image."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(listed)), strict=True)
        rows, header = list(reader), reader.fieldnames or []
    except (OSError, ValueError, csv.Error) as exc:
        raise DatasetError(f"{listed} cannot be read: {getattr(exc, 'strerror', None) or reason(exc)}") from exc
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        raise DatasetError(f"{listed} has several columns {quoted(repeated[0])}; each name must occur once")
    for number, row in enumerate(rows, 2):
        if None in row:
            raise DatasetError(
                f"{listed} line {number} has more than the {len(header)} values of the first line; a value with a "
                "comma must be in quotation marks, and several labels are separated by |"
            )
        answers = _split(row.get("map") or "") or _split(row.get("label") or "")
        if not row.get("file") or "\0" in row["file"] or not answers:
            raise DatasetError(f"{listed} line {number} lacks a file or a label; the first line must be file,label")
        if leads_out(data / row["file"], data):
            raise DatasetError(f"{listed} line {number} names {row['file']!r}; it must name a file in {data}")
        yield row["file"], data / row["file"], answers


def _split(answers: str) -> tuple[str, ...]:
    return tuple(filter(None, (answer.strip() for answer in answers.split("|"))))
