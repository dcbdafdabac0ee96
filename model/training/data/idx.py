"""The Fashion-MNIST dataset as arrays. NumPy only, so that tests can read it without TensorFlow.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms"
(2017); MIT licence. Its files have the IDX format of the MNIST database; their sha256 is checked.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.text import reason
from model.training.errors import DatasetError

FASHION_MNIST_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# sha256 of the published files.
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_PREFIX = {"train": "train", "test": "t10k"}
_IDX_UBYTE = 0x08


@dataclass(frozen=True, slots=True)
class Split:
    """Images uint8 [N, height, width] and their class numbers int64 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64] | slice) -> Split:
        """A split with only these rows."""
        return Split(self.images[rows], self.labels[rows])


def shared_folder() -> Path:
    """The folder of Fashion-MNIST in the shared data: in `$SHARED`, or in `../shared` next to the repository."""
    default = Path(__file__).resolve().parents[3].parent / "shared"
    return Path(os.environ.get("SHARED") or default) / "data" / "fashion-mnist"


def load(part: str, folder: Path | None = None) -> Split:
    """Read `train` (60,000 images) or `test` (10,000) from `folder`, the shared folder, or Keras' download.

    Raises DatasetError when a file is missing, differs from the published one, or cannot be downloaded.
    """
    if part not in _PREFIX:
        raise DatasetError(f"the split is {part!r}; it must be one of: {', '.join(_PREFIX)}")
    folder = folder or shared_folder()
    prefix = _PREFIX[part]
    names = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
    paths = [folder / name for name in names] if folder.is_dir() else [_download(name) for name in names]
    images, labels = (read_idx(_verified(path)) for path in paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DatasetError(f"{folder}: images {images.shape} and labels {labels.shape} do not match")
    return Split(images, labels.astype(np.int64))


def split(whole: Split, validation: int, seed: int) -> tuple[Split, Split]:
    """Split the training images into training and validation. The same seed always gives the same rows."""
    rows = np.random.default_rng(seed).permutation(len(whole))
    return whole.take(rows[validation:]), whole.take(rows[:validation])


def read_idx(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes."""
    if len(data) < 4 or data[:3] != bytes((0, 0, _IDX_UBYTE)):
        raise DatasetError(f"not an IDX file of unsigned bytes: it starts with {data[:4]!r}")
    axes = data[3]
    if len(data) < 4 + 4 * axes:
        raise DatasetError(f"IDX header is truncated: it has {axes} axes, the file {len(data)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    body = data[4 + 4 * axes :]
    if len(body) != int(np.prod(shape)):
        raise DatasetError(f"IDX header declares the shape {shape}, but {len(body)} bytes follow")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _verified(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    if hashlib.sha256(packed).hexdigest() != SHA256[path.name]:
        raise DatasetError(f"{path} is not the published file: its sha256 differs")
    return gzip.decompress(packed)


def _download(name: str) -> Path:
    """Download the file of keras.datasets.fashion_mnist into Keras' cache, and check its sha256."""
    import keras

    try:
        with redirect_stdout(sys.stderr):  # Keras prints a progress bar
            path = keras.utils.get_file(
                name, _ORIGIN + name, cache_subdir="datasets/fashion-mnist", file_hash=SHA256[name]
            )
    except Exception as exc:
        raise DatasetError(f"{name} is not in {shared_folder()} and cannot be downloaded: {reason(exc)}") from exc
    return Path(path)
