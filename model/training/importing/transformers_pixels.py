"""Reads preprocessor_config.json of a Hugging Face repository as a recipe.

It follows the image processors of transformers 5.24 (`transformers.models.*.image_processing_pil_*`), whose results a
test compares. A key that is not known, and that switches something on, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.text import quoted
from model.training.errors import SourceError
from model.training.importing.exact_recipe import Frame, Recipe, exact_recipe, normalised
from model.training.importing.fields import Fields


@dataclass(frozen=True, slots=True)
class _Processor:
    """How an image processor differs. `square`: one number as size means both edges, else the shorter one. `crop`:
    pixels of the crop where the file names none, 0 for none, and None where versions of transformers differ. `keys`:
    the keys that only this processor has."""

    square: bool = False
    crop: int | None = 0
    keys: tuple[str, ...] = ()


_PROCESSORS = {
    "ViT": _Processor(square=True),
    "DeiT": _Processor(square=True, crop=224),
    "Beit": _Processor(square=True, crop=None),
    "ConvNext": _Processor(keys=("crop_pct",)),
    "EfficientNet": _Processor(square=True, keys=("rescale_offset", "include_top")),
    "MobileNetV1": _Processor(crop=224),
    "MobileNetV2": _Processor(crop=224),
    "MobileViT": _Processor(crop=256, keys=("do_flip_channel_order",)),
    "PoolFormer": _Processor(crop=224, keys=("crop_pct",)),
    "Levit": _Processor(crop=224),
    "Bit": _Processor(crop=224),
    "CLIP": _Processor(crop=224),
    "Siglip": _Processor(),
    "Pvt": _Processor(square=True),
}

# The processor of a model where the file does not name one, by `model_type` of config.json (transformers'
# IMAGE_PROCESSOR_MAPPING_NAMES).
_OF_MODEL = {
    **dict.fromkeys(("vit", "vit_msn", "swin", "swinv2", "swiftformer"), "ViT"),
    **dict.fromkeys(("beit", "data2vec-vision"), "Beit"),
    **dict.fromkeys(("convnext", "convnextv2", "cvt", "regnet", "resnet", "van"), "ConvNext"),
    **dict.fromkeys(("bit", "dinat", "dinov2", "focalnet", "nat"), "Bit"),
    **dict.fromkeys(("mobilevit", "mobilevitv2"), "MobileViT"),
    **dict.fromkeys(("pvt", "pvt_v2"), "Pvt"),
    "deit": "DeiT",
    "efficientnet": "EfficientNet",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "poolformer": "PoolFormer",
    "levit": "Levit",
    "clip": "CLIP",
    "siglip": "Siglip",
}

# Pillow's numbers of its resampling methods.
_RESAMPLINGS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

# Keys that all processors have, and keys without an effect on the pixels of an image in colour.
_KEYS = {
    *("do_resize", "size", "default_to_square", "resample", "do_center_crop", "crop_size"),
    *("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"),
}
_NO_EFFECT = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "transformers_version", "_name_or_path"),
    *("do_convert_rgb", "do_reduce_labels", "reduce_labels", "data_format", "input_data_format", "return_tensors"),
    *("device", "disable_grouping", "image_seq_length", "_valid_processor_keys"),
}

_SIZE = "a number of pixels, or an object with height and width"

# ConvNext's processor neither keeps the proportions nor crops from this edge on.
_WARPED = 384

# Levit's processor resizes to this multiple of the size.
_LEVIT = 256 / 224


def read_recipe(given: Fields, model_type: str | None) -> Recipe:
    """The recipe of an image processor's configuration. `model_type`: that of config.json, None when it has none.

    Raises SourceError, which names what it does not understand.
    """
    name = _name(given, model_type)
    processor = _PROCESSORS[name]
    for key, value in given.values.items():
        if key not in _KEYS and key not in processor.keys and key not in _NO_EFFECT and value is not False:
            raise SourceError(
                f"{given.where}: {key} is {quoted(value)}, which is not understood for {name}ImageProcessor; write a "
                "--recipe"
            )
    if not given.truth("do_resize", True):
        raise given.wrong("do_resize", "true, or the images have to be resized by a --recipe")
    factor, offset = _scale(given, name)
    bgr = name == "MobileViT" and given.truth("do_flip_channel_order", True)
    return exact_recipe(_frame(given, name, processor), factor, offset, bgr=bgr)


def _name(given: Fields, model_type: str | None) -> str:
    """The name of the processor, a key of _PROCESSORS."""
    key = next((key for key in ("image_processor_type", "feature_extractor_type") if key in given), None)
    if key is None and model_type in _OF_MODEL:
        return _OF_MODEL[model_type]
    key = key or "image_processor_type"
    name = str(given.values.get(key)).removesuffix("Fast")
    for suffix in ("ImageProcessor", "FeatureExtractor"):
        if name.removesuffix(suffix) in _PROCESSORS and name.endswith(suffix):
            return name.removesuffix(suffix)
    raise given.wrong(key, f"one of: {', '.join(f'{known}ImageProcessor' for known in _PROCESSORS)}")


def _frame(given: Fields, name: str, processor: _Processor) -> Frame:
    resample = given.values.get("resample")
    if type(resample) is not int or resample not in _RESAMPLINGS:
        allowed = ", ".join(f"{number} ({method})" for number, method in _RESAMPLINGS.items())
        raise given.wrong("resample", f"one of: {allowed}")
    fit, height, width = _size(given, given.truth("default_to_square", processor.square))
    result = _crop(given, processor)
    if "crop_pct" in processor.keys and fit != "cover":
        raise given.wrong("size", f"the shorter edge for {name}ImageProcessor")
    if name == "ConvNext":
        if result:
            raise given.wrong("do_center_crop", "false: ConvNextImageProcessor crops by crop_pct")
        result, fit = (height, width), "cover" if height < _WARPED else "stretch"
    if name == "Levit" and fit == "cover":
        height = width = int(_LEVIT * height)
    if "crop_pct" in processor.keys and fit == "cover":
        height = width = int(height / given.number("crop_pct"))
    if result is None and fit == "cover":
        raise given.wrong("size", "height and width, unless do_center_crop is true: images get different sizes")
    return Frame(*(result or (height, width)), fit, (height, width), _RESAMPLINGS[resample])


def _size(given: Fields, square: bool) -> tuple[str, int, int]:
    """How the image is fitted, and the height and width of the box for it."""
    size = given.values.get("size")
    if isinstance(size, int):
        edge = given.count("size")
        return "stretch" if square else "cover", edge, edge
    found = _both(given, "size")
    if found:
        return "stretch", *found
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        edge = given.object("size").count("shortest_edge")
        return "cover", edge, edge
    raise given.wrong("size", f"{_SIZE}, or with shortest_edge")


def _both(given: Fields, name: str) -> tuple[int, int] | None:
    """Height and width of a size that names both, None for another."""
    size = given.values.get(name)
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:  # the order of unequal ones changed
        size = {"height": size[0], "width": size[1]}
    if not isinstance(size, dict) or set(size) != {"height", "width"}:
        return None
    fields = Fields(size, f"{given.where}, {name}")
    return fields.count("height"), fields.count("width")


def _crop(given: Fields, processor: _Processor) -> tuple[int, int] | None:
    """Height and width of the middle that is kept; None when all is kept."""
    default = None if processor.crop is None else processor.crop > 0
    if not given.truth("do_center_crop", default):
        return None
    if "crop_size" not in given and processor.crop:
        return processor.crop, processor.crop
    if isinstance(given.values.get("crop_size"), int):
        edge = given.count("crop_size")
        return edge, edge
    found = _both(given, "crop_size")
    if found is None:
        raise given.wrong("crop_size", _SIZE)
    return found


def _scale(given: Fields, name: str) -> tuple[Any, Any]:
    """Factor and offset of the pixels."""
    factor, offset = given.number("rescale_factor", 1 / 255) if given.truth("do_rescale", True) else 1.0, 0.0
    if name == "EfficientNet" and given.truth("do_rescale", True) and given.truth("rescale_offset", False):
        offset = -1.0
    if name == "MobileViT":
        if "do_normalize" in given and given.truth("do_normalize"):
            raise given.wrong("do_normalize", "false: MobileViTImageProcessor does not normalise")
        return factor, offset
    again = name == "EfficientNet" and given.truth("include_top", True)
    if not given.truth("do_normalize", True) and not again:
        return factor, offset
    std = given.colours("image_std", zero=False)
    if given.truth("do_normalize", True):
        factors, offsets = normalised(given.colours("image_mean"), std, factor, offset)
    else:
        factors, offsets = [factor] * 3, [offset] * 3
    if again:  # EfficientNet divides by the deviation a second time
        factors, offsets = ([each / by for each, by in zip(of, std, strict=True)] for of in (factors, offsets))
    return factors, offsets
