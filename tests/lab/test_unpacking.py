"""Model files that unpack to much more, or refer to other files, are refused before they are unpacked."""

from __future__ import annotations

import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import h5py  # noqa: E402
from keras import layers  # noqa: E402

from model.engines.base import Signature  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.label_file import read_labels  # noqa: E402
from model.training.importing.recipe import read_recipe  # noqa: E402
from model.training.importing.safe_keras import load_keras  # noqa: E402
from model.training.importing.weights import load_whole  # noqa: E402
from tests.networks import network, save_npz  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

TOO_MUCH = r"unpacks to [\d,]+ bytes or more; at most [\d,]+ are allowed for a file of its size"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    network().save(tmp_path / "made.keras")
    return tmp_path / "made.keras"


@pytest.fixture
def made_h5(tmp_path: Path) -> Path:
    network().save(tmp_path / "made.h5")
    return tmp_path / "made.h5"


def refused(path: Path, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        load_keras(path)


def add(path: Path, name: str, megabytes: int) -> None:
    """Zeros, which are packed to a thousandth."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, file.open(name, "w") as part:
        for _ in range(megabytes):
            part.write(bytes(1_000_000))


def replace(path: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(path) as file:
        parts = {each: file.read(each) for each in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for each, content in {**parts, name: data}.items():
            file.writestr(each, content)


def change_config(path: Path, how: Callable[[Any], Any]) -> None:
    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
    how(config)
    replace(path, "config.json", json.dumps(config).encode())


def test_a_valid_file_is_loaded(made: Path, made_h5: Path) -> None:
    assert load_keras(made).count_params() == load_keras(made_h5).count_params() == network().count_params()


@pytest.mark.parametrize("name", ["assets/words.txt", "more", "config.json/x"])
def test_a_zip_bomb_is_refused(made: Path, name: str) -> None:
    add(made, name, 100)
    assert made.stat().st_size < 1_000_000
    refused(made, TOO_MUCH)


def test_a_zip_of_many_small_members_is_refused(made: Path) -> None:
    for number in range(8):
        add(made, str(number), 12)
    refused(made, TOO_MUCH)
    with zipfile.ZipFile(made, "w") as file:
        for number in range(10_001):
            file.writestr(str(number), b"")
    refused(made, "holds 10,001 files; at most 10,000 are allowed")


def test_a_zip_with_wrong_sizes_is_refused(made: Path) -> None:
    """The sizes that a zip says are numbers in it like others; the check sum fits what is said."""
    add(made, "zeros", 1)
    data = bytearray(made.read_bytes())
    for signature, size_at, sum_at in ((b"PK\3\4", 22, 14), (b"PK\1\2", 24, 16)):
        start = data.rfind(signature)
        data[start + size_at : start + size_at + 4] = struct.pack("<I", 100)
        data[start + sum_at : start + sum_at + 4] = struct.pack("<I", zlib.crc32(bytes(100)))
    made.write_bytes(data)
    refused(
        made,
        "'zeros' does not unpack to the 100 bytes that the zip declares|is not a Keras model: Bad CRC-32 for file 'zer",
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"[" * 100_000, "config.json of .* is nested too deeply"),
        (b'{"a":' * 100_000, "config.json of .* is nested too deeply"),
        (b" " * 10_000_001, "config.json of .* has 10,000,001 bytes; at most 10,000,000 are allowed"),
        (b'{"class_name": ' + b"[" * 900 + b"]" * 900 + b"}", "cannot be loaded"),
        (b"[]", "cannot be loaded"),
        (b"\xff", "is not a Keras model"),
    ],
)
def test_an_invalid_configuration_is_refused(made: Path, config: bytes, said: str) -> None:
    replace(made, "config.json", config)
    refused(made, said)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_network_larger_than_its_file_is_refused(tmp_path: Path, suffix: str) -> None:
    """100,000 x 100,000 numbers would be 40 GB."""
    path = tmp_path / f"wide.{suffix}"
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2), layers.Dense(3)]).save(path)

    def widen(config: Any) -> None:
        for layer in config["config"]["layers"][-2:]:
            layer["config"]["units"] = 100_000
            layer.pop("build_config", None)

    if suffix == "keras":
        change_config(path, widen)
    else:
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            widen(config)
            file.attrs["model_config"] = json.dumps(config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "cannot be loaded: ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


def test_a_layer_without_weights_is_refused_by_its_size(tmp_path: Path) -> None:
    """Shared and frozen weights may be missing in a file, but only few of them."""
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)]).save(tmp_path / "made.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.training.importing.safe_keras._SPARE", -2000)
        refused(tmp_path / "made.keras", r"describes a network of 579 numbers and holds 579; it must hold them all")


@pytest.mark.parametrize("name", ["StringLookup", "TextVectorization"])
def test_a_layer_that_reads_a_vocabulary_is_refused(made: Path, name: str) -> None:
    def put(config: Any) -> None:
        config["config"]["layers"][1] |= {"class_name": name, "config": {"vocabulary": "/etc/passwd"}}

    change_config(made, put)
    refused(made, f"holds a {name} layer, which reads a file that the model names")


def huge(file: Any) -> None:
    file.create_dataset("more", (1 << 40,), chunks=(1 << 16,), compression="gzip")


def packed(file: Any) -> None:
    file.create_dataset("more", data=np.zeros(30_000_000, np.float32), chunks=(1_000_000,), compression="gzip")


def large_chunk(file: Any) -> None:
    file.create_dataset("more", (1,), maxshape=(None,), chunks=(30_000_000,), compression="gzip")


def many(file: Any) -> None:
    for number in range(10_001):
        file.create_group(f"more/{number}")


def outside(file: Any) -> None:
    file["more"] = h5py.ExternalLink("/etc/hostname", "/")


def soft(file: Any) -> None:
    file["more"] = h5py.SoftLink("/model_weights")


def elsewhere(file: Any) -> None:
    file.create_dataset("more", (4,), np.uint8, external=[("/etc/hostname", 0, 4)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file.create_virtual_dataset("more", layout)


def round_about(file: Any) -> None:
    file.create_group("more")["back"] = file["/"]


HOLLOW: list[tuple[Callable[[Any], None], str]] = [
    (huge, TOO_MUCH),
    (packed, TOO_MUCH),
    (large_chunk, TOO_MUCH),
    (many, "holds more than 10,000 arrays and groups"),
    (round_about, "holds more than 10,000 arrays and groups"),
    (outside, "'more' is a link; links are not followed"),
    (soft, "'more' is a link"),
    (elsewhere, "'more' keeps its numbers in other files; those are not read"),
    (virtual, "'more' keeps its numbers in other files"),
]


@pytest.mark.parametrize(("how", "said"), HOLLOW)
def test_malformed_hdf5_is_refused(made_h5: Path, how: Callable[[Any], None], said: str) -> None:
    with h5py.File(made_h5, "a") as file:
        how(file)
    assert made_h5.stat().st_size < 10_000_000
    refused(made_h5, said)
    with pytest.raises(SourceError, match=said):
        load_whole(network(), made_h5)


@pytest.mark.parametrize(("how", "said"), [HOLLOW[0], HOLLOW[5], HOLLOW[7]])
def test_malformed_hdf5_in_a_zip_is_refused(made: Path, tmp_path: Path, how: Callable[[Any], None], said: str) -> None:
    with zipfile.ZipFile(made) as packed_file:
        packed_file.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5", "a") as file:
        how(file)
    replace(made, "model.weights.h5", (tmp_path / "model.weights.h5").read_bytes())
    refused(made, said)


def test_an_npz_bomb_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "w.npz", zeros=np.zeros(30_000_000, np.float32))
    with pytest.raises(SourceError, match=TOO_MUCH):
        load_whole(network(), tmp_path / "w.npz")


def test_an_npz_with_wrong_sizes_is_refused(tmp_path: Path) -> None:
    made = network()
    save_npz(tmp_path / "w.npz", {weight.path: np.array(weight) for weight in made.weights})
    with zipfile.ZipFile(tmp_path / "w.npz") as file:
        name = file.namelist()[0]
        data = file.read(name)
    header = data[10 : 10 + struct.unpack("<H", data[8:10])[0]]
    wide = header.replace(b"(3, 3, 3, 8)", b"(99999999999999,)").rstrip() + b" \n"
    replace(tmp_path / "w.npz", name, data[:8] + struct.pack("<H", len(wide)) + wide)
    with pytest.raises(SourceError, match=r"not an \.npz file of plain arrays"):
        load_whole(made, tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x\n" * 5_000_001, r"has more than 10,000,000 bytes"),
        (b"[" * 100_000, "is nested too deeply to be read"),
        (b"\xff\xfe", "cannot be used"),
    ],
)
def test_oversized_texts_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "made.json").write_bytes(data)
    with pytest.raises(SourceError, match=said):
        read_labels(tmp_path / "made.json")
    with pytest.raises(SourceError, match=said):
        read_recipe(tmp_path / "made.json", Signature(8, 8, 3, "float32", ("a",), {}))
