"""What the configuration next to a model says about it, and the labels in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.text import quoted
from model.training.errors import SourceError
from model.training.importing.exact_recipe import Recipe, size_of
from model.training.importing.fields import Fields
from model.training.importing.label_file import distinct_labels


@dataclass(frozen=True, slots=True)
class Stated:
    """What a folder's configuration says about the model in it; None, or no recipe, for what it does not say.

    `outputs`: the meaning of the model's numbers, a name of model.engines.outputs.ROWS. `recipes`: the preprocessing
    for each size of images that the model may take, the usual one first. `where`, `labels_from`: the files with the
    recipes and with the labels, for messages.
    """

    labels: tuple[str, ...] | None = None
    outputs: str | None = None
    recipes: tuple[Recipe, ...] = ()
    where: str = ""
    labels_from: str = "the model's file"

    @property
    def size(self) -> tuple[int, int] | None:
        """The usual height and width of the images, None when the configuration says none."""
        return size_of(self.recipes[0]) if self.recipes else None

    def check_answers(self, pixels: str | None, framing: str) -> None:
        """Raise SourceError for an answer of the user to what the configuration says already."""
        for option, value, usual in (("--pixels", pixels, None), ("--framing", framing, "crop")):
            if self.recipes and value != usual:
                raise SourceError(
                    f"{option} is {value}, and {self.where} says how pixels are prepared: leave the option out, or "
                    "write a --recipe"
                )

    def recipe_for(self, height: int, width: int, channels: int, dtype: str) -> Recipe:
        """The recipe for a model that takes these images. Raises SourceError when none fits."""
        fitting = [recipe for recipe in self.recipes if size_of(recipe) == (height, width)]
        if not fitting or channels != 3:
            sizes = " or ".join("x".join(map(str, size_of(recipe))) for recipe in self.recipes)
            raise SourceError(
                f"{self.where} makes images of {sizes} with 3 channels; the model takes {height}x{width} with "
                f"{channels}: write a --recipe"
            )
        scale = fitting[0]["steps"][-1]
        if dtype != "float32" and (scale["factor"], scale["offset"]) != (1.0, 0.0):
            raise SourceError(
                f"{self.where} scales the pixels, and the model takes {dtype}, the pixels themselves: write a --recipe"
            )
        return fitting[0]


NOTHING = Stated()


def listed_labels(fields: Fields, name: str, descriptions: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The labels of a field that is a list, or an object from the place of each score to its label.

    `descriptions`: texts for people by label; a label without one stays. Raises SourceError, which names the places,
    when labels are missing, of another kind, or equal.
    """
    found = fields.values[name]
    labels = found if isinstance(found, list) else _by_place(fields, name, found)
    try:
        for place, label in enumerate(labels):
            if not isinstance(label, str):
                raise ValueError(f"number {place} is {quoted(label)}; it must be a text")
        known = descriptions or {}
        return distinct_labels([_named(label, place, known.get(label)) for place, label in enumerate(labels)])
    except ValueError as exc:
        raise SourceError(f"{fields.where}: {name} cannot be used: {exc}") from exc


def _named(label: str, place: int, description: Any) -> tuple[str, str]:
    """A label with the mark that tells it from an equal one. A description may be equal to another; labels may not."""
    return (description.strip(), label) if isinstance(description, str) else (label.strip(), f"number {place}")


def _by_place(fields: Fields, name: str, found: Any) -> Sequence[Any]:
    if not isinstance(found, Mapping) or not found:
        raise fields.wrong(name, "a list of labels, or an object from the number of each score to its label")
    places: dict[int, Any] = {}
    for key, label in found.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 10) or int(key) in places:
            raise SourceError(
                f"{fields.where}: {name} has the key {quoted(key)}; its keys must be the numbers of the scores, from 0"
            )
        places[int(key)] = label
    missing = next(place for place in range(len(places) + 1) if place not in places)
    if missing < len(places):
        raise SourceError(
            f"{fields.where}: {name} has no label for the score {missing}, and one for {max(places)}; each score must "
            "have one: name a file with --labels"
        )
    return [places[place] for place in range(len(places))]
