"""`torch_network.py export NAME` writes a network of torchvision as NAME.onnx and NAME.pt; `score NAME` scores
images.npy [N, 3, 224, 224] into logits.npy. The weights are random; statistics.npy has photos for their statistics."""

from __future__ import annotations

import sys

import numpy as np
import torch
import torchvision

SPREAD = 3.0
"""As that of subject.py, which this process, without TensorFlow, does not import."""


def export(name: str) -> None:
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    photos = torch.from_numpy(np.load("statistics.npy"))
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the statistics of the photos alone
    with torch.no_grad():
        network.train()(photos)
        network.eval()
        logits = network(photos)
        last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        factor = SPREAD / logits.std(dim=0, correction=0)
        last.bias.copy_((last.bias - logits.mean(dim=0)) * factor)
        last.weight.mul_(factor[:, None])
    torch.save(network, f"{name}.pt")
    images = torch.zeros(2, 3, 224, 224)
    torch.onnx.export(network, (images,), f"{name}.onnx", dynamic_shapes=({0: "n"},), external_data=False)


def score(name: str) -> None:
    network = torch.load(f"{name}.pt", weights_only=False)  # a file of this program's own
    with torch.no_grad():
        parts = torch.from_numpy(np.load("images.npy")).split(32)
        np.save("logits.npy", torch.cat([network(part) for part in parts]).numpy())


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"export": export, "score": score}[sys.argv[1]](sys.argv[2])
