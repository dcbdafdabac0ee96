"""The demo's images: one of each class, taken only from the published files."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from infra.local import demo
from infra.local.ports import free_port

NAMES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A tiny dataset: image i is all of value i, labels count down, then 3 once more."""
    folder = tmp_path / "published"
    folder.mkdir()
    labels = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 3]
    pixels = b"".join(bytes([number]) * 784 for number in range(len(labels)))
    (folder / NAMES[0]).write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + bytes(12) + pixels))
    # The header's count of images is 3 in a byte: it must not be taken for a label.
    (folder / NAMES[1]).write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes(labels)))
    return folder


@pytest.fixture
def build(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders, no shared data, and no server to download from."""
    sums = {name: hashlib.sha256((published / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(demo, "_SHA256", sums)
    monkeypatch.setattr(demo, "_BUILD", tmp_path / "build")
    monkeypatch.setattr(demo, "_ORIGIN", f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setenv("SHARED", str(tmp_path / "nothing"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "build"


@pytest.fixture
def origin(published: Path, build: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(published))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(demo, "_ORIGIN", f"http://127.0.0.1:{server.server_port}/")
        yield
        server.shutdown()
        thread.join()


def test_the_first_image_of_each_class_is_written(
    published: Path, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here" / "data" / "fashion-mnist"
    folder.parent.mkdir(parents=True)
    published.rename(folder)
    monkeypatch.setenv("SHARED", str(tmp_path / "here"))
    images, what = demo._images()
    assert what.endswith("(found on this machine)") and len(images) == 10
    values = {}
    for file, label in images.items():
        with file.open() as opened, Image.open(opened) as image:
            assert image.format == "PNG" and image.size == (28, 28)
            values[label] = image.getextrema()[0]
    assert (values["T-shirt/top"], values["Dress"], values["Ankle boot"]) == (9, 6, 0)


def test_demo_images_are_downloaded_once(origin: None, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo._images()[1].endswith("(downloaded)")
    monkeypatch.setattr(demo, "_download", None)
    assert demo._images()[1].endswith("(downloaded)")


def test_without_a_network_the_demo_uses_the_drawings(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, what = demo._images()
    assert "drawings" in what and len(images) == 10 and all(file.size() for file in images)
    assert "could not be downloaded" in capsys.readouterr().err


def test_an_unexpected_dataset_file_is_rejected(
    origin: None, published: Path, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (published / NAMES[0]).write_bytes(b"something else")
    assert "drawings" in demo._images()[1]
    assert "differs from the published" in capsys.readouterr().err
    assert not (build / "data" / "fashion-mnist" / NAMES[0]).exists()


def test_an_altered_cache_is_downloaded_again(origin: None, build: Path) -> None:
    demo._images()
    (build / "data" / "fashion-mnist" / NAMES[1]).write_bytes(b"altered")
    assert demo._images()[1].endswith("(downloaded)")
