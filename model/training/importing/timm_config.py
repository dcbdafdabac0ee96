"""Reads config.json of a timm export: its labels and its preprocessing, by the rules of timm 1.0.31.

`timm.data.resolve_data_config` has the defaults, `timm.data.transforms_factory.transforms_imagenet_eval` the steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from model.preprocessing.signature_schema import RESAMPLINGS
from model.training.importing.exact_recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Frame,
    Recipe,
    exact_recipe,
    normalised,
)
from model.training.importing.fields import Fields
from model.training.importing.stated import Stated, listed_labels

# timm's share of the resized image that is kept, where the file does not say it.
_CROP_PCT = 0.875

_FITS = {"center": "cover", "squash": "stretch", "border": "contain"}


def is_timm(config: Fields) -> bool:
    """Whether a config.json is one of timm."""
    return "pretrained_cfg" in config or "architecture" in config


def read_timm(config: Fields, *, pixels: bool = True, labels: bool = True) -> Stated:
    """What the file says; it does not say what the model's numbers mean. `pixels`, `labels`: whether these are wanted.

    Raises SourceError.
    """
    # Before timm 0.9 there was no object pretrained_cfg, and its fields were those of the file itself.
    own = config.object("pretrained_cfg") if "pretrained_cfg" in config else config
    recipes = tuple(_recipes(own)) if pixels else ()
    return Stated(_labels(config, own) if labels else None, None, recipes, config.where, config.where)


def _recipes(own: Fields) -> Iterator[Recipe]:
    """The recipe of the usual size, and that of the size for tests where the file has one."""
    crop_pct = own.number("crop_pct", _CROP_PCT)
    yield _recipe(own, "input_size", crop_pct)
    if "test_input_size" in own:
        yield _recipe(own, "test_input_size", own.number("test_crop_pct", crop_pct))


def _recipe(own: Fields, name: str, crop_pct: float) -> Recipe:
    shape = own.values.get(name)
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(edge) is int and edge > 0 for edge in shape):
        raise own.wrong(name, "[channels, height, width]")
    _, height, width = shape
    mode, resampling = own.one_of("crop_mode", _FITS, "center"), own.one_of("interpolation", RESAMPLINGS, "bicubic")
    mean, std = own.colours("mean", IMAGENET_MEAN), own.colours("std", IMAGENET_STD, zero=False)
    resize = math.floor(height / crop_pct), math.floor(width / crop_pct)
    colour = tuple(round(255 * each) for each in mean) if mode == "border" else ()
    return exact_recipe(Frame(height, width, _FITS[mode], resize, resampling, "even", colour), *normalised(mean, std))


def _labels(config: Fields, own: Fields) -> tuple[str, ...] | None:
    """The labels, by their descriptions for people where the file has some; None where it has none."""
    named, described = (
        next((fields for fields in (config, own) if name in fields), None)
        for name in ("label_names", "label_descriptions")
    )
    if named is None:
        return None
    return listed_labels(named, "label_names", described.object("label_descriptions").values if described else {})
