"""The preprocessing of torchvision's weights by their names, for `--pixels torchvision:resnet50.v2`.

Source: `torchvision.models`, the `transforms` of each weights' enumeration (torchvision 0.29.1). A test compares all of
them where torchvision is installed.
"""

from __future__ import annotations

from typing import Any

from model.training.errors import SourceError
from model.training.importing.exact_recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Frame,
    Recipe,
    exact_recipe,
    normalised,
)

PREFIX = "torchvision:"

# Pixels of the shorter edge and of the crop of most weights, which are resized bilinearly.
_USUAL = 256, 224

_VERSION_1 = """
alexnet densenet121 densenet161 densenet169 densenet201 googlenet mnasnet0_5 mnasnet1_0 mobilenet_v2 mobilenet_v3_large
mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf
regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101
resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
squeezenet1_0 squeezenet1_1 vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_l_32
wide_resnet101_2 wide_resnet50_2
"""

_VERSION_2 = """
mobilenet_v2 mobilenet_v3_large regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf
regnet_x_8gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf
resnet101 resnet152 resnet50 resnext101_32x8d resnext50_32x4d wide_resnet101_2 wide_resnet50_2
"""

# Pixels of the shorter edge, of the crop, and how it is resized, by weights.
_PRESETS: dict[str, tuple[int, int, str]] = {
    **{f"{name}.v1": (*_USUAL, "bilinear") for name in _VERSION_1.split()},
    **{f"{name}.v2": (232, 224, "bilinear") for name in _VERSION_2.split()},
    **{
        f"{name}.v1": (232, 224, "bilinear")
        for name in ("mnasnet0_75", "mnasnet1_3", "resnext101_64x4d", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0")
    },
    **{
        f"{name}.swag_{kind}_v1": (edge, edge, "bicubic")
        for name, whole in (
            ("regnet_y_16gf", 384),
            ("regnet_y_32gf", 384),
            ("regnet_y_128gf", 384),
            ("vit_b_16", 384),
            ("vit_l_16", 512),
            ("vit_h_14", 518),
        )
        for kind, edge in (("e2e", whole), ("linear", 224))
    },
    "convnext_tiny.v1": (236, 224, "bilinear"),
    "convnext_small.v1": (230, 224, "bilinear"),
    "convnext_base.v1": (232, 224, "bilinear"),
    "convnext_large.v1": (232, 224, "bilinear"),
    "efficientnet_b0.v1": (256, 224, "bicubic"),
    "efficientnet_b1.v1": (256, 240, "bicubic"),
    "efficientnet_b1.v2": (255, 240, "bilinear"),
    "efficientnet_b2.v1": (288, 288, "bicubic"),
    "efficientnet_b3.v1": (320, 300, "bicubic"),
    "efficientnet_b4.v1": (384, 380, "bicubic"),
    "efficientnet_b5.v1": (456, 456, "bicubic"),
    "efficientnet_b6.v1": (528, 528, "bicubic"),
    "efficientnet_b7.v1": (600, 600, "bicubic"),
    "efficientnet_v2_s.v1": (384, 384, "bilinear"),
    "efficientnet_v2_m.v1": (480, 480, "bilinear"),
    "efficientnet_v2_l.v1": (480, 480, "bicubic"),
    "inception_v3.v1": (342, 299, "bilinear"),
    "maxvit_t.v1": (224, 224, "bicubic"),
    "swin_t.v1": (232, 224, "bicubic"),
    "swin_s.v1": (246, 224, "bicubic"),
    "swin_b.v1": (238, 224, "bicubic"),
    "swin_v2_t.v1": (260, 256, "bicubic"),
    "swin_v2_s.v1": (260, 256, "bicubic"),
    "swin_v2_b.v1": (272, 256, "bicubic"),
    "vit_l_16.v1": (242, 224, "bilinear"),
}

# Mean and standard deviation of weights that were not trained with ImageNet's.
_HALF = (0.5, 0.5, 0.5)
_NORMALISED = {"efficientnet_v2_l.v1": (_HALF, _HALF)}

NAMES = tuple(sorted(_PRESETS))
"""The weights, as their architecture and their version."""


def scaling_of(pixels: str) -> tuple[Any, Any]:
    """Factor and offset of `torchvision:NAME`. Raises SourceError for a name that is not in NAMES."""
    return normalised(*_NORMALISED.get(_name(pixels), (IMAGENET_MEAN, IMAGENET_STD)))


def preset(name: str) -> tuple[int, int, str]:
    """Pixels of the shorter edge and of the crop, and how an image is resized, for a name of NAMES."""
    return _PRESETS[name]


def recipe_of(pixels: str, height: int, width: int, channels: int) -> Recipe:
    """The recipe of `torchvision:NAME` for a model that takes images of this size.

    Raises SourceError when the preset makes images of another size.
    """
    name = _name(pixels)
    edge, crop, resampling = preset(name)
    if (height, width, channels) != (crop, crop, 3):
        raise SourceError(
            f"the pixels are {pixels!r}, whose images are {crop}x{crop} in colour; the model takes {height}x{width} "
            f"with {channels} channel{'s' if channels > 1 else ''}"
        )
    return exact_recipe(Frame(crop, crop, "cover", (edge, edge), resampling, "even"), *scaling_of(pixels))


def _name(pixels: str) -> str:
    name = pixels.removeprefix(PREFIX)
    if name not in _PRESETS:
        architecture = name.partition(".")[0]
        near = [known for known in NAMES if known.partition(".")[0] == architecture] or NAMES
        raise SourceError(
            f"the pixels are {pixels!r}; after {PREFIX} they must name weights of torchvision, such as "
            f"{', '.join(near[:5])}"
        )
    return name
