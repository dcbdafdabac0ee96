"""Small networks of transformers with known weights, and the logits that transformers computes with them.

`python -m tests.lab.architectures FILE` writes them as JSON; it needs torch and transformers. architectures.json is its
output of transformers 5.24.0. The weights are made of their names, so that they need no file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).with_suffix(".json")

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 48}
_SWIN = {"embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "image_size": 64}
_STAGES = {"depths": [1, 2, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
_RESNET = {**_STAGES, "embedding_size": 8}
_MOBILENET = {"depth_multiplier": 0.1, "min_depth": 4, "depth_divisible_by": 4}

_BEIT = {**_VIT, "layer_scale_init_value": 0.5}
_EFFICIENT = {
    **{"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320, "num_block_repeats": [1, 2, 4]},
    **{"in_channels": [32, 16, 24], "out_channels": [16, 24, 40], "kernel_sizes": [3, 5, 3], "strides": [1, 2, 2]},
    "expand_ratios": [1, 6, 6],
}

_NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "ViT": ("ViT", _VIT, (48, 48)),
    "ViT, wide": ("ViT", {**_VIT, "qkv_bias": False, "layer_norm_eps": 0.01, "image_size": [32, 48]}, (32, 48)),
    "DeiT": ("DeiT", _VIT, (48, 48)),
    "DeiT, with teacher": ("DeiT", _VIT, (48, 48)),
    "BEiT": ("Beit", {**_BEIT, "use_relative_position_bias": True}, (48, 48)),
    "BEiT, shared": (
        "Beit",
        {**_BEIT, "use_shared_relative_position_bias": True, "use_mean_pooling": False, "use_mask_token": True},
        (48, 48),
    ),
    "BEiT, all": (
        "Beit",
        {
            **{**_BEIT, "layer_scale_init_value": 0.0, "use_absolute_position_embeddings": True},
            **{"use_relative_position_bias": True, "use_shared_relative_position_bias": True},
        },
        (48, 48),
    ),
    "Swin": ("Swin", _SWIN, (64, 64)),
    "Swin, small": ("Swin", {**_SWIN, "image_size": 32, "use_absolute_embeddings": True, "qkv_bias": False}, (32, 32)),
    "ConvNext": ("ConvNext", _STAGES, (64, 48)),
    "ConvNext, unscaled": ("ConvNext", {**_STAGES, "layer_scale_init_value": 0.0}, (64, 64)),
    "ConvNextV2": ("ConvNextV2", _STAGES, (64, 64)),
    "ResNet": ("ResNet", _RESNET, (64, 64)),
    "ResNet, basic": ("ResNet", {**_RESNET, "layer_type": "basic", "downsample_in_first_stage": True}, (65, 65)),
    "ResNet, early": ("ResNet", {**_RESNET, "downsample_in_bottleneck": True}, (65, 49)),
    "MobileNetV2": ("MobileNetV2", _MOBILENET, (64, 65)),
    "MobileNetV2, torch": (
        "MobileNetV2",
        {**_MOBILENET, "tf_padding": False, "first_layer_is_expansion": False},
        (65, 64),
    ),
    "EfficientNet": ("EfficientNet", _EFFICIENT, (64, 48)),
    "EfficientNet, odd": (
        "EfficientNet",
        {**_EFFICIENT, "depthwise_padding": [2], "hidden_act": "silu", "batch_norm_eps": 0.01, "strides": [2, 2, 2]},
        (65, 49),
    ),
}
"""By name: the model of transformers, its configuration, and height and width of the images."""


def array(name: str, shape: list[int]) -> NDArray[Any]:
    """The weights with this name."""
    if name.endswith("num_batches_tracked"):
        return np.asarray(7)
    made = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        made = 1 + 0.3 * np.abs(made)
    elif name.endswith("weight"):
        gain = 2.0 if name.startswith("efficientnet") else 1.5  # its gates halve what passes
        made = made * (gain / np.sqrt(np.prod(shape[1:]))) if len(shape) > 1 else 1 + 0.2 * made
    else:
        made = 0.2 * made
    return made.astype(np.float32)


def images(size: tuple[int, int]) -> NDArray[np.float32]:
    """Two images, [2, height, width, 3]."""
    return np.random.default_rng(1).standard_normal((2, *size, 3)).astype(np.float32)


def main(path: Path) -> None:
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.numpy import save_file

    found = {}
    for title, (name, given, size) in _NETWORKS.items():
        suffix = "WithTeacher" if title.endswith("with teacher") else ""
        kind = getattr(transformers, f"{name}ForImageClassification{suffix}")
        with tempfile.TemporaryDirectory() as place:
            kind(kind.config_class(num_labels=3, **given)).save_pretrained(place)
            file = Path(place, "model.safetensors")
            with safe_open(file, "np") as saved:
                shapes = {key: saved.get_slice(key).get_shape() for key in saved.keys()}  # noqa: SIM118
            save_file({key: array(key, shape) for key, shape in shapes.items()}, file, {"format": "pt"})
            network = kind.from_pretrained(place).eval()
            config = json.loads(Path(place, "config.json").read_text(encoding="utf-8"))
        with torch.no_grad():
            logits = network(torch.from_numpy(images(size).transpose(0, 3, 1, 2).copy())).logits.numpy()
        rounded = [[round(float(number), 5) for number in row] for row in logits]
        found[title] = {"size": size, "config": config, "logits": rounded, "shapes": dict(sorted(shapes.items()))}
    lines = ",\n".join(f"{json.dumps(title)}: {json.dumps(value)}" for title, value in found.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
