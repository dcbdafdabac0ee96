"""The configuration of a Hugging Face repository: what it says, and what is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from model.engines.base import LOGITS, MULTILABEL_LOGITS
from model.training.errors import SourceError
from model.training.importing.exact_recipe import size_of
from model.training.importing.fields import Fields, read_fields
from model.training.importing.transformers_config import read_labels, read_meaning
from model.training.importing.transformers_pixels import read_recipe

VIT: dict[str, Any] = {
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": {"height": 224, "width": 224},
}


def processor(kind: str, size: Any = 224, **more: Any) -> dict[str, Any]:
    return {**VIT, "image_processor_type": f"{kind}ImageProcessor", "size": size, **more}


def steps_of(given: Mapping[str, Any], model_type: str | None = None) -> Any:
    return read_recipe(Fields(given, "preprocessor_config.json"), model_type)["steps"]


def frame_of(given: Mapping[str, Any], model_type: str | None = None) -> tuple[Any, ...]:
    """How it is fitted, the box that it is resized for, and the result, as width and height."""
    step = steps_of(given, model_type)[1]
    return step["fit"], step["resize_width"], step["resize_height"], step["width"], step["height"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (VIT, ("stretch", 224, 224, 224, 224)),
        (processor("ViT"), ("stretch", 224, 224, 224, 224)),
        (processor("ViT", [224, 224]), ("stretch", 224, 224, 224, 224)),
        (processor("ViT", {"height": 224, "width": 192}), ("stretch", 192, 224, 192, 224)),
        (processor("ViT", default_to_square=False, do_center_crop=True, crop_size=200), ("cover", 224, 224, 200, 200)),
        (processor("DeiT", 256), ("stretch", 256, 256, 224, 224)),
        (processor("Beit", 256, do_center_crop=True, crop_size=224), ("stretch", 256, 256, 224, 224)),
        (processor("Beit", do_center_crop=False), ("stretch", 224, 224, 224, 224)),
        (processor("ConvNext", crop_pct=0.875), ("cover", 256, 256, 224, 224)),
        (processor("ConvNext", {"shortest_edge": 224}, crop_pct=0.95), ("cover", 235, 235, 224, 224)),
        (processor("ConvNext", 384, crop_pct=0.875), ("stretch", 384, 384, 384, 384)),
        (processor("EfficientNet", 346), ("stretch", 346, 346, 346, 346)),
        (processor("MobileNetV1", {"shortest_edge": 256}), ("cover", 256, 256, 224, 224)),
        (processor("MobileNetV2", 256, crop_size={"height": 192, "width": 160}), ("cover", 256, 256, 160, 192)),
        (processor("MobileViT", 288, do_normalize=False), ("cover", 288, 288, 256, 256)),
        (processor("Levit"), ("cover", 256, 256, 224, 224)),
        (processor("PoolFormer", crop_pct=0.9), ("cover", 248, 248, 224, 224)),
        (processor("CLIP"), ("cover", 224, 224, 224, 224)),
        (processor("Bit", 256), ("cover", 256, 256, 224, 224)),
        (processor("ViT") | {"image_processor_type": "ViTImageProcessorFast"}, ("stretch", 224, 224, 224, 224)),
        (
            processor("ViT") | {"image_processor_type": "ConvNextFeatureExtractor", "crop_pct": 1.0},
            ("cover", *[224] * 4),
        ),
    ],
)
def test_an_image_is_framed_as_its_processor_does(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert frame_of(given) == expected
    assert size_of({"steps": steps_of(given)}) == (expected[4], expected[3])


def test_a_file_without_the_processor_s_name_gets_that_of_its_model() -> None:
    unnamed = {key: value for key, value in VIT.items() if key != "image_processor_type"} | {"size": 224}
    assert frame_of(unnamed, "swin") == ("stretch", 224, 224, 224, 224)
    assert frame_of({**unnamed, "crop_pct": 0.875}, "resnet") == ("cover", 256, 256, 224, 224)
    with pytest.raises(SourceError, match=r"image_processor_type is missing; it must be one of: ViTImageProcessor, "):
        frame_of(unnamed, "detr")


@pytest.mark.parametrize(
    ("given", "factor", "offset"),
    [
        (VIT, [1 / 127.5] * 3, [-1.0] * 3),
        ({**VIT, "do_normalize": False}, 1 / 255, 0.0),
        ({**VIT, "do_normalize": False, "do_rescale": False}, 1.0, 0.0),
        ({**VIT, "do_rescale": False, "image_mean": [104, 117, 124], "image_std": 1}, [1] * 3, [-104, -117, -124]),
        ({**VIT, "rescale_factor": 1 / 127.5, "image_mean": 1, "image_std": 1}, [1 / 127.5] * 3, [-1.0] * 3),
        (processor("EfficientNet", include_top=False), [1 / 127.5] * 3, [-1.0] * 3),
        (processor("EfficientNet"), [4 / 255] * 3, [-2.0] * 3),
        (processor("EfficientNet", do_normalize=False, image_std=2), [1 / 510] * 3, [0] * 3),
        (
            processor("EfficientNet", rescale_offset=True, rescale_factor=1 / 127.5, image_mean=0, include_top=False),
            [2 / 127.5] * 3,
            [-2.0] * 3,
        ),
    ],
)
def test_pixels_are_scaled_as_the_processor_does(given: dict[str, Any], factor: Any, offset: Any) -> None:
    scale = steps_of(given)[-1]
    assert (scale["factor"], scale["offset"]) == (pytest.approx(factor), pytest.approx(offset))


def test_a_processor_that_flips_the_channels_gets_bgr() -> None:
    mobile = processor("MobileViT", do_normalize=False)
    assert [step["op"] for step in steps_of(mobile)] == ["rgb", "frame", "bgr", "scale"]
    assert [step["op"] for step in steps_of({**mobile, "do_flip_channel_order": False})] == ["rgb", "frame", "scale"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            processor("Detr"),
            "image_processor_type is 'DetrImageProcessor'; it must be one of: ViTImageProcessor, DeiTIma",
        ),
        ({**VIT, "do_pad": True}, "do_pad is 'true', which is not understood for ViTImageProcessor; write a --recipe"),
        ({**VIT, "crop_pct": 0.9}, "crop_pct is '0.9', which is not understood for ViTImageProcessor"),
        ({**VIT, "auto_map": {"AutoImageProcessor": "own.Processor"}}, "auto_map is "),
        ({**VIT, "resample": 6}, r"resample is '6'; it must be one of: 0 \(nearest\), 1 \(lanczos\), 2 \(bilinear\)"),
        ({**VIT, "resample": True}, "resample is 'true'; it must be one of"),
        ({**VIT, "resample": [2]}, r"resample is '\[2\]'; it must be one of"),
        ({**VIT, "resample": None}, "resample is missing; it must be one of"),
        ({**VIT, "do_resize": False}, "do_resize is 'false'; it must be true"),
        ({**VIT, "do_resize": "yes"}, "do_resize is 'yes'; it must be true or false"),
        ({**VIT, "size": None}, "size is missing; it must be a number of pixels, or an object with height and width"),
        ({**VIT, "size": {"longest_edge": 224}}, r"size is .*longest_edge.*; it must be a number of pixels"),
        ({**VIT, "size": [224, 192]}, r"size is '\[224, 192\]'; it must be a number of pixels"),
        ({**VIT, "size": {"height": 0, "width": 9}}, "height is '0'; it must be a whole number above 0"),
        ({**VIT, "size": True}, "size is 'true'; it must be a whole number above 0"),
        (
            {**VIT, "image_std": [0.5, 0.5, 0]},
            r"image_std is .*; it must be three numbers other than 0, for red, green",
        ),
        ({**VIT, "image_mean": [0.5]}, "image_mean is .*; it must be three numbers, for red, green and blue"),
        ({**VIT, "image_mean": None}, "image_mean is missing; it must be three numbers"),
        ({**VIT, "rescale_factor": "1/255"}, "rescale_factor is '1/255'; it must be a number above 0"),
        (
            processor("ViT", {"shortest_edge": 224}),
            "size is .*; it must be height and width, unless do_center_crop is true",
        ),
        (processor("Beit"), "do_center_crop is missing; it must be true or false"),
        (processor("ConvNext", {"height": 224, "width": 224}), "size is .*; it must be the shorter edge"),
        (processor("ConvNext"), "crop_pct is missing; it must be a number above 0"),
        (
            processor("DeiT", crop_size={"shortest_edge": 1}),
            "crop_size is .*; it must be a number of pixels, or an obj",
        ),
        (processor("MobileViT", do_normalize=True), "do_normalize is 'true'; it must be false"),
    ],
)
def test_what_a_processor_is_not_known_to_do_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=rf"preprocessor_config\.json(, size)?: {words}"):
        steps_of(given)


def test_what_switches_nothing_on_is_not_refused() -> None:
    more = {"do_pad": False, "size_divisor": None, "do_convert_rgb": True, "processor_class": "ViTProcessor"}
    assert frame_of({**VIT, **more}) == frame_of(VIT)


@pytest.mark.parametrize(
    ("config", "meaning"),
    [
        ({}, LOGITS),
        ({"problem_type": "single_label_classification"}, LOGITS),
        ({"problem_type": "multi_label_classification"}, MULTILABEL_LOGITS),
        ({"architectures": ["DeiTForImageClassificationWithTeacher"]}, LOGITS),
    ],
)
def test_outputs_mean_what_the_pipeline_of_transformers_makes_of_them(config: dict[str, Any], meaning: str) -> None:
    assert read_meaning(Fields(config, "config.json")) == meaning


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"architectures": ["SegformerForSemanticSegmentation"]},
            "architectures holds 'SegformerForSemanticSegmentation'",
        ),
        ({"architectures": ["ViTModel"]}, "architectures holds 'ViTModel', which is no image classifier"),
        ({"architectures": "ViT"}, "architectures is 'ViT'; it must be a list of names"),
        (
            {"problem_type": "regression"},
            "problem_type is 'regression'; it must be single_label_classification, multi_la",
        ),
        ({"problem_type": ["a"]}, "problem_type is "),
    ],
)
def test_other_models_than_classifiers_are_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=rf"config\.json: {words}"):
        read_meaning(Fields(config, "config.json"))


def labels_of(found: Any) -> Any:
    return read_labels(Fields({"id2label": found}, "config.json"))


def test_labels_are_in_the_order_of_their_numbers_and_keep_their_synonyms() -> None:
    assert labels_of(
        {"1": "red fox", "0": "tabby, tabby cat", "10": "x", **{str(n): f"l{n}" for n in range(2, 10)}}
    ) == (
        *("tabby, tabby cat", "red fox"),
        *(f"l{n}" for n in range(2, 10)),
        "x",
    )
    assert labels_of({"0": "LABEL_0", "1": "LABEL_1"}) is None and read_labels(Fields({}, "config.json")) is None


def test_both_cranes_of_imagenet_keep_their_numbers() -> None:
    labels = labels_of({str(n): "crane" if n in (134, 517) else f"label {n}" for n in range(1000)})
    assert (labels[134], labels[517]) == ("crane (number 134)", "crane (number 517)")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"0": "a", "2": "c"},
            "has no label for the score 1, and one for 2; each score must have one: name a file with -",
        ),
        ({"1": "a", "2": "b"}, "has no label for the score 0, and one for 2"),
        ({"cat": "cat"}, "has the key 'cat'; its keys must be the numbers of the scores, from 0"),
        ({"0": "a", "00": "b"}, "has the key '00'; its keys must be the numbers of the scores"),
        ({"-1": "a"}, "has the key '-1'"),
        (
            {"0": "cat", "1": "dog", "2": "cat"},
            "cannot be used: number 0 and number 2 are both 'cat'; each label may occ",
        ),
        ({"0": "cat", "1": " "}, "cannot be used: number 1 is empty"),
        ({"0": "cat", "1": 7}, "cannot be used: number 1 is '7'; it must be a text"),
        ({}, r"is '\{\}'; it must be a list of labels, or an object from the number of each score to its label"),
        ("labels.txt", "is 'labels.txt'; it must be a list of labels"),
    ],
)
def test_labels_whose_places_are_not_certain_are_refused(found: Any, words: str) -> None:
    with pytest.raises(SourceError, match=rf"config\.json: id2label {words}"):
        labels_of(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON: .*, line 1"),
        ("[]", r"holds '\[\]'; it must be a JSON object"),
        ('{"id2label": {"0": "a", "0": "b"}}', "cannot be used: it names '0' more than once"),
        ("[" * 100_000, "is nested too deeply to be read"),
    ],
)
def test_a_text_that_is_no_configuration_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SourceError, match=rf"config\.json {words}"):
        read_fields(tmp_path / "config.json")
