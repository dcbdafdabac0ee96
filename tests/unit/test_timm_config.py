"""The configuration of a timm export, and the preprocessing of torchvision's weights."""

from __future__ import annotations

from typing import Any

import pytest

from model.training.errors import SourceError
from model.training.importing.fields import Fields
from model.training.importing.recipe import recipe
from model.training.importing.timm_config import read_timm
from model.training.importing.torchvision_presets import NAMES

TIMM: dict[str, Any] = {
    "architecture": "resnet50",
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def timm_frame(**changes: Any) -> Any:
    stated = read_timm(Fields({**TIMM, "pretrained_cfg": {**TIMM["pretrained_cfg"], **changes}}, "config.json"))
    return stated.recipes[0]["steps"][1]


def test_timm_s_share_is_rounded_down_and_its_modes_are_kept() -> None:
    box = "resize_width", "resize_height", "width", "height", "fit"
    assert [timm_frame()[key] for key in box] == [235, 235, 224, 224, "cover"], "224 / 0.95 is 235.8"
    assert [timm_frame(input_size=[3, 200, 240])[key] for key in box] == [252, 210, 240, 200, "cover"]
    assert timm_frame(crop_mode="squash")["fit"] == "stretch"
    border = timm_frame(crop_mode="border", crop_pct=1.0)
    assert (border["fit"], border["colour"]) == ("contain", [124, 116, 104])
    flat = read_timm(Fields({"architecture": "a", "input_size": [3, 64, 64], "num_classes": 9}, "config.json"))
    assert flat.recipes[0]["steps"][1]["resize_width"] == 73 and flat.labels is None, "64 / 0.875: timm's defaults"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interpolation": "random"}, "interpolation is 'random'; it must be one of: nearest, box, bilinear"),
        ({"crop_mode": "zoom"}, "crop_mode is 'zoom'; it must be one of: center, squash, border"),
        ({"crop_pct": 0}, "crop_pct is '0'; it must be a number above 0"),
        ({"input_size": 224}, r"input_size is '224'; it must be \[channels, height, width\]"),
        ({"input_size": None}, "input_size is missing"),
        ({"mean": [1, 2, 3, 4]}, "mean is .*; it must be three numbers"),
    ],
)
def test_timm_s_fields_are_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=rf"config\.json, pretrained_cfg: {words}"):
        timm_frame(**changes)


def test_labels_of_timm_are_their_descriptions() -> None:
    names = {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "crane", "n2": "crane", "n3": "fox"}}
    assert read_timm(Fields({**TIMM, **names}, "config.json")).labels == ("crane (n1)", "crane (n2)", "fox")
    with pytest.raises(SourceError, match="label_names has no label for the score 1"):
        read_timm(Fields({**TIMM, "label_names": {"0": "n1", "2": "n3"}}, "config.json"))


def test_weights_of_torchvision_have_their_own_preprocessing() -> None:
    made = recipe("torchvision:resnet50.v2", 224, 224)
    assert (made["steps"][1]["resize_width"], made["steps"][1]["rounding"], made["decode_size"]) == (232, "even", 464)
    assert recipe("torchvision:efficientnet_v2_l.v1", 480, 480)["steps"][-1]["offset"] == [-1.0, -1.0, -1.0]
    assert len(NAMES) > 100
    for pixels, size, words in (
        ("torchvision:resnet50.v3", 224, "they must name weights of torchvision, such as resnet50.v1, resnet50.v2"),
        ("torchvision:", 224, "they must name weights of torchvision, such as alexnet.v1"),
        (
            "torchvision:inception_v3.v1",
            224,
            "whose images are 299x299 in colour; the model takes 224x224 with 3 channels",
        ),
    ):
        with pytest.raises(SourceError, match=words):
            recipe(pixels, size, size)
    with pytest.raises(SourceError, match=r"torchvision:resnet50\.v2 has a framing of its own: leave --framing out"):
        recipe("torchvision:resnet50.v2", 224, 224, framing="squash")
