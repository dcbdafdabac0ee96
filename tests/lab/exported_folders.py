"""Small networks of transformers and timm with random weights, saved as these save them, with an ONNX file:
`python -m tests.lab.exported_folders FOLDER`.

A process of its own, as torch and TensorFlow do not get along in one. Each folder also gets images.npy, prepared images
[N, height, width, channels], and scores.npy, the network's own softmax for them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

LABELS = {number: f"label {number}" for number in range(5)}

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "patch_size": 16}
_SMALL = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
_SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}

_NARROW = {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320, "initializer_range": 0.2}

_TRANSFORMERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ViT": ("ViT", _VIT, {"size": {"height": 64, "width": 64}}),
    "DeiT": ("DeiT", _VIT, {"size": {"height": 73, "width": 73}, "crop_size": {"height": 64, "width": 64}}),
    "Beit": ("Beit", _VIT, {"size": {"height": 64, "width": 64}}),
    "Swin": ("ViT", _SWIN, {"size": {"height": 64, "width": 64}}),
    "ConvNext": ("ConvNext", _SMALL, {"size": {"shortest_edge": 64}, "crop_pct": 0.875}),
    "ResNet": ("ConvNext", {**_SMALL, "embedding_size": 8}, {"size": {"shortest_edge": 64}, "crop_pct": 0.875}),
    "MobileNetV2": ("MobileNetV2", {}, {"size": {"shortest_edge": 73}, "crop_size": {"height": 64, "width": 64}}),
    "EfficientNet": ("EfficientNet", _NARROW, {"size": {"height": 64, "width": 64}}),
}
"""By the name of the model: its image processor, its configuration, and that of the processor."""

_TIMM = "resnet18", "efficientnet_lite0", "mobilenetv3_small_100", "vit_tiny_patch16_224"

NAMES = tuple(f"transformers-{name}" for name in _TRANSFORMERS) + tuple(f"timm-{name}" for name in _TIMM)


class Logits(torch.nn.Module):
    """A network of transformers that gives its logits alone."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Any) -> Any:
        return self.network(pixel_values).logits


def main(place: Path) -> None:
    for name, (kind, given, processed) in _TRANSFORMERS.items():
        _save_transformers(place / f"transformers-{name}", name, kind, given, processed)
    for name in _TIMM:
        _save_timm(place / f"timm-{name}", name)


def _save_transformers(folder: Path, name: str, kind: str, given: dict[str, Any], processed: dict[str, Any]) -> None:
    import transformers

    config = getattr(transformers, f"{name}Config")(id2label=LABELS, image_size=64, **given)
    network = getattr(transformers, f"{name}ForImageClassification")(config)
    getattr(transformers, f"{kind}ImageProcessor")(**processed).save_pretrained(folder)
    (folder / "onnx").mkdir()
    open_edges = {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}
    _export(network, Logits(network), 64, folder, "onnx/model.onnx", open_edges)
    network.save_pretrained(folder)  # with the statistics that the export has set


def _save_timm(folder: Path, name: str) -> None:
    import timm
    from timm.models import save_for_hf

    network = timm.create_model(name, pretrained=False, num_classes=len(LABELS))
    save_for_hf(network, folder, model_config={"label_names": list(LABELS.values())}, safe_serialization=True)
    _export(network, network, 224, folder, f"{name}.onnx", {0: "batch_size"})


def _export(network: Any, called: Any, size: int, folder: Path, name: str, open_edges: dict[int, str]) -> None:
    images = torch.randn(8, 3, size, size)
    for layer in network.modules():  # without statistics of its own, a random network gives the same scores to all
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    called(images)
    network.eval()
    with torch.no_grad():
        np.save(folder / "scores.npy", torch.softmax(called(images), 1).numpy())
    np.save(folder / "images.npy", images.permute(0, 2, 3, 1).numpy())
    torch.onnx.export(
        called.eval(), (images,), str(folder / name), input_names=["pixel_values"], output_names=["logits"],
        dynamic_axes={"pixel_values": open_edges, "logits": {0: "batch_size"}}, dynamo=False,
    )  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
