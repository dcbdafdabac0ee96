"""What transformers, timm and torchvision make of images: `python -m tests.lab.library_pixels CASES IMAGES OUT`.

A process of its own, as torch and TensorFlow do not get along in one. CASES is a JSON object of cases by name; IMAGES a
folder of PNG files. For each case OUT gets NAME.npy, float32 [images, height, width, channels], in the order of the
images' names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def presets() -> dict[str, list[Any]]:
    """Torchvision's own presets: pixels of the shorter edge, of the crop, how it is resized, mean, deviation."""
    from torchvision import models

    found = {}
    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            made = weights.transforms()
            version = weights.name.lower().removeprefix("imagenet1k_")
            size = [made.resize_size[0], made.crop_size[0], made.interpolation.value, made.antialias]
            found[f"{name}.{version}"] = [*size, made.mean, made.std]
    return found


def preparing(case: dict[str, Any]) -> Any:
    """The library's own preparation, which gives [channels, height, width]."""
    if case["library"] == "torch":
        import torch

        size, how = case["given"]

        def interpolate(image: Image.Image) -> Any:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
            return torch.nn.functional.interpolate(pixels, size, mode=how)[0].clamp(0, 255).round()

        return interpolate
    if case["library"] == "timm":
        from timm.data import create_transform, resolve_data_config

        return create_transform(**resolve_data_config(pretrained_cfg=case["given"]))
    if case["library"] == "torchvision":
        from torchvision import models

        name, _, version = case["given"].partition(".")
        return next(
            weights
            for weights in models.get_model_weights(name)
            if weights.name.lower().endswith(f"imagenet1k_{version}")
        ).transforms()
    import transformers

    suffix = {"pil": "Pil", "fast": ""}[case["library"]]
    made = getattr(transformers, case["given"]["image_processor_type"] + suffix)(**case["given"])
    return lambda image: made(image)["pixel_values"][0]


def main(cases: Path, images: Path, out: Path) -> None:
    (out / "presets.json").write_text(json.dumps(presets()))
    opened = [Image.open(path) for path in sorted(images.glob("*.png"))]
    for name, case in json.loads(cases.read_text()).items():
        prepare = preparing(case)
        made = np.stack([np.asarray(prepare(image.convert("RGB"))) for image in opened])
        np.save(out / f"{name}.npy", made.transpose(0, 2, 3, 1).astype(np.float32))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
