"""Weights from files: by name, by order, with or without the top layer; never unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from keras import layers  # noqa: E402

from model.training.errors import SourceError  # noqa: E402
from model.training.importing.weights import load_backbone, load_whole  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def build(top: bool = True, width: int = 4) -> Any:
    """Named as a network of Keras Applications is: alike with and without its top."""
    keras.backend.clear_session()
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(width, 3, use_bias=False, name="conv1")(image)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="conv_dw_1")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(image, layers.Dense(5, name="predictions")(x) if top else x, name="network")


def make(path: Path, top: bool = True) -> Any:
    """A network with the weights of a file, filled as the catalog does it."""
    network = build(top)
    load_whole(network, path) if top else load_backbone(network, path, build)
    return network


def arrays(network: Any) -> dict[str, Any]:
    return {weight.path: np.array(weight) for weight in network.weights}


@pytest.fixture(scope="module")
def trained() -> Any:
    network = build()
    network.set_weights([weight + 0.01 for weight in network.get_weights()])
    return network


@pytest.fixture(scope="module", params=["npz", "npz of Keras 2", "h5", "weights.h5", "keras"])
def file(request: pytest.FixtureRequest, trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    held = arrays(trained)
    if request.param == "npz":
        np.savez(folder / "w.npz", **held)
        return Path(folder / "w.npz")
    if request.param == "npz of Keras 2":
        named = {k.replace("/kernel", "/depthwise_kernel") if "_dw_" in k else k: v for k, v in held.items()}
        np.savez(folder / "w.npz", **named)
        return Path(folder / "w.npz")
    path = Path(folder / f"w.{request.param}")
    trained.save_weights(path) if request.param == "weights.h5" else trained.save(path)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("top", [True, False], ids=["with a top", "without"])
def test_every_weight_arrives(trained: Any, file: Path, top: bool) -> None:
    network = make(file, top)
    expected = trained.get_weights()[: len(network.weights)]
    for weight, value in zip(network.get_weights(), expected, strict=True):
        assert np.array_equal(weight, value)
    assert network.output_shape == (None, 5 if top else 4)


def test_a_file_without_a_top_fits_a_backbone(trained: Any, tmp_path: Path) -> None:
    backbone = build(top=False)
    backbone.set_weights(trained.get_weights()[:-2])
    backbone.save_weights(tmp_path / "notop.weights.h5")
    filled = make(tmp_path / "notop.weights.h5", top=False)
    for ours, theirs in zip(filled.get_weights(), backbone.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_weights_that_do_not_fit_are_named(trained: Any, tmp_path: Path) -> None:
    held = arrays(trained)
    np.savez(tmp_path / "lacking.npz", **{k: v for k, v in held.items() if k != "conv1/kernel"})
    with pytest.raises(SourceError, match="lack conv1/kernel; they must hold every weight"):
        make(tmp_path / "lacking.npz")
    np.savez(tmp_path / "wide.npz", **{**held, "conv1/kernel": np.zeros((3, 3, 3, 9))})
    with pytest.raises(SourceError, match=r"conv1/kernel is \(3, 3, 3, 9\); the network takes \(3, 3, 3, 4\)"):
        make(tmp_path / "wide.npz")
    build(width=6).save_weights(tmp_path / "wide.weights.h5")
    with pytest.raises(SourceError, match=r"wide\.weights\.h5 do not fit"):
        make(tmp_path / "wide.weights.h5", top=False)


class Trap:
    """Unpickling it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(trained: Any, tmp_path: Path) -> None:
    trap = Trap(tmp_path / "sprung")
    held = {**arrays(trained), "conv1/kernel": np.array([trap], dtype=object)}
    np.savez(tmp_path / "objects.npz", allow_pickle=True, **held)
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(trap))
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "objects.npz").read_bytes()[:2000])
    for name in ("objects", "damaged"):
        with pytest.raises(SourceError, match=rf"{name}\.npz are not an \.npz file of plain arrays"):
            make(tmp_path / f"{name}.npz")
    with pytest.raises(SourceError, match=r"pickled\.npz holds a pickle, which runs code when it is loaded"):
        make(tmp_path / "pickled.npz")
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(trap))
    with pytest.raises(SourceError, match=r"weights\.pth holds a pickle, which runs code when it is loaded"):
        make(tmp_path / "weights.pth")
    assert not (tmp_path / "sprung").exists()
