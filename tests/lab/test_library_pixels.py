"""The recipes of folders make the pixels that transformers, timm and torchvision make themselves, within 1 of 255.

CI has no torch. `pip install torch==2.14.1 torchvision==0.29.1 transformers==5.24.0 timm==1.0.31` and the marker
`optional` run these tests. All sides get the same decoded images, at full size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.engines.base import Signature
from model.errors import InvalidImage
from model.images.decode import decode_image
from model.images.limits import Limits
from model.preprocessing.recipe import run_recipe
from model.training.importing.exact_recipe import Frame, Recipe, normalised, size_of
from model.training.importing.fields import Fields
from model.training.importing.timm_config import read_timm
from model.training.importing.torchvision_presets import NAMES, PREFIX, preset, recipe_of, scaling_of
from model.training.importing.transformers_pixels import read_recipe

_NEEDED = "torch", "torchvision", "transformers", "timm"

pytestmark = [
    pytest.mark.optional,
    pytest.mark.timeout(1200),  # a minute on an idle machine
    pytest.mark.skipif(not all(map(find_spec, _NEEDED)), reason=f"not all are installed: {', '.join(_NEEDED)}"),
]

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def processor(kind: str, resample: int, size: Any, **more: Any) -> dict[str, Any]:
    return {"image_processor_type": f"{kind}ImageProcessor", "resample": resample, "size": size, **_HALF, **more}


PROCESSORS = {
    "vit": processor("ViT", 2, {"height": 224, "width": 224}),
    "vit-lanczos": processor("ViT", 1, {"height": 160, "width": 192}),
    "swin": processor("ViT", 3, 224, **_IMAGENET),
    "deit": processor("DeiT", 3, 256, crop_size=224, **_IMAGENET),
    "beit": processor("Beit", 2, 256, do_center_crop=True, crop_size=224),
    "convnext": processor("ConvNext", 3, {"shortest_edge": 224}, crop_pct=0.875, **_IMAGENET),
    "convnext-384": processor("ConvNext", 2, {"shortest_edge": 384}, crop_pct=0.95),
    "efficientnet": processor("EfficientNet", 0, {"height": 224, "width": 224}, **_IMAGENET),
    "efficientnet-crop": processor("EfficientNet", 3, 346, do_center_crop=True, crop_size=289, include_top=False),
    "efficientnet-offset": processor("EfficientNet", 3, 224, rescale_offset=True, rescale_factor=1 / 127.5),
    "mobilenet-v1": processor("MobileNetV1", 2, {"shortest_edge": 256}, crop_size={"height": 224, "width": 224}),
    "mobilenet-v2": processor("MobileNetV2", 2, 256, crop_size=192),
    "mobilevit": processor("MobileViT", 2, {"shortest_edge": 288}, crop_size=256),
    "mobilevit-padded": processor("MobileViT", 3, {"shortest_edge": 223}, crop_size=256),
    "levit": processor("Levit", 3, {"shortest_edge": 224}, **_IMAGENET),
    "poolformer": processor("PoolFormer", 3, {"shortest_edge": 224}, crop_pct=0.9, **_IMAGENET),
    "clip": processor("CLIP", 3, {"shortest_edge": 224}),
    "bit": processor("Bit", 3, {"shortest_edge": 250}, crop_size=225),
    "siglip": processor("Siglip", 3, {"height": 224, "width": 224}),
    "pvt": processor("Pvt", 2, 224, do_rescale=False, image_mean=[104.0, 117.0, 124.0], image_std=[1.0, 1.0, 1.0]),
}


def timm(**given: Any) -> dict[str, Any]:
    usual = {"input_size": [3, 224, 224], "mean": _IMAGENET["image_mean"], "std": _IMAGENET["image_std"]}
    return {**usual, "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center", **given}


EXPORTS = {
    "timm-center": timm(),
    "timm-usual": timm(crop_pct=0.875, interpolation="bilinear"),
    "timm-wide": timm(input_size=[3, 160, 224]),
    "timm-squash": timm(crop_mode="squash", crop_pct=0.9),
    "timm-border": timm(crop_mode="border", crop_pct=1.0),
    "timm-border-crop": timm(crop_mode="border", crop_pct=0.8, input_size=[3, 200, 225]),
}

WEIGHTS = "resnet50.v2", "efficientnet_b0.v1", "inception_v3.v1", "swin_t.v1", "vit_l_16.v1"


def unsmoothed(size: int, resampling: str) -> Recipe:
    """The recipe of an image that is resized without antialias, whose pixels stay as they are."""
    frame = {**Frame(size, size, "stretch", (size, size), resampling).to_step(), "antialias": False}
    return {"steps": [{"op": "rgb"}, frame, {"op": "scale", "factor": 1.0, "offset": 0.0}]}


# Fast processors choose the other one of two nearest pixels, do not clip what Lanczos makes of rows before columns, and
# pad half a pixel on the other side.
NOT_FAST = "efficientnet", "vit-lanczos", "mobilevit-padded"

CASES: dict[str, tuple[str, Any, Recipe]] = {
    **{
        f"{name}-{how}": (how, given, read_recipe(Fields(given, name), None))
        for name, given in PROCESSORS.items()
        for how in ("pil", "fast")
        if how == "pil" or name not in NOT_FAST
    },
    **{
        name: ("timm", given, read_timm(Fields({"pretrained_cfg": given}, name)).recipes[0])
        for name, given in EXPORTS.items()
    },
    **{
        f"torch-{how}-{size}": ("torch", ((size, size), how), unsmoothed(size, how))
        for how in ("bilinear", "bicubic")
        for size in (60, 224)
    },
    **{name: ("torchvision", name, recipe_of(f"{PREFIX}{name}", *preset(name)[1:2] * 2, 3)) for name in WEIGHTS},
}

# Share of the pixels of fast processors that may differ. They do not resize with Pillow, and do not clip what bicubic
# resampling makes of rows before columns.
_FAST = 0.01


@pytest.fixture(scope="module")
def images(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The awkward images, and some photos, as the worker decodes them without a reduced size."""
    folder = tmp_path_factory.mktemp("images")
    files = [
        *sorted((shared_data / "awkward").rglob("*.*")),
        *sorted((shared_data / "imagenet-samples").glob("*.JPEG"))[:9],
    ]
    for number, file in enumerate(files):
        try:
            decode_image(file.read_bytes(), Limits(), None).convert("RGB").save(folder / f"{number:03}.png")
        except InvalidImage:
            continue
    return folder


@pytest.fixture(scope="module")
def theirs(images: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The libraries' own pixels, a file for each case."""
    out = tmp_path_factory.mktemp("theirs")
    cases = {name: {"library": library, "given": given} for name, (library, given, _) in CASES.items()}
    (out / "cases.json").write_text(json.dumps(cases))
    command = [sys.executable, "-m", "tests.lab.library_pixels", str(out / "cases.json"), str(images), str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=1100, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    yield out


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_the_library_s_own(name: str, images: Path, theirs: Path, record_property: Any) -> None:
    library, _, recipe = CASES[name]
    height, width = size_of(recipe)
    signature = Signature(height, width, 3, "float32", ("a", "b"), recipe)
    files = sorted(images.glob("*.png"))
    ours = np.concatenate([run_recipe(Image.open(file), signature) for file in files])
    expected, factor = np.load(theirs / f"{name}.npy"), np.asarray(recipe["steps"][-1]["factor"])
    difference = np.abs(ours - expected) / factor
    record_property("largest difference of 255", float(difference.max()))
    assert len(files) > 100 and ours.std() > 0.1
    if library == "fast":
        assert (difference > 0.01).mean() <= _FAST
    else:
        assert difference.max() <= 1.01, [files[n].name for n in np.unique(np.nonzero(difference > 1.01)[0])]


def test_the_table_of_torchvision_is_torchvision_s(theirs: Path) -> None:
    found = json.loads((theirs / "presets.json").read_text())
    del found["vgg16.features"]  # which is no classifier
    assert set(found) == set(NAMES)
    for name, (edge, crop, resampling, antialias, mean, std) in found.items():
        assert ((edge, crop, resampling), antialias) == (preset(name), True)
        np.testing.assert_allclose(scaling_of(f"{PREFIX}{name}"), normalised(mean, std), err_msg=name)
