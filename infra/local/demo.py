"""`python -m infra.local.demo`: sends ten labelled images through each entry point of the twin, and checks the labels.

The images are Fashion-MNIST test images if they can be read or downloaded, else the drawings in client/samples/.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from client.gcp import Cloud
from client.images import Image, ImageFile
from client.loopback import without_proxy
from client.results.output import rows
from client.results.record import Record
from infra import entry_points
from infra.entry_points import EntryPoint, complain, send_through
from infra.local.child import ChildFailed
from infra.local.twin import Twin
from model.labels import parse_labels
from model.text import read_text

_ROOT = Path(__file__).resolve().parents[2]
_BUILD = _ROOT / "build"
_SAMPLES = _ROOT / "client" / "samples"
_LABELS = _ROOT / "model" / "artifacts" / "fashion-mnist" / "labels.txt"

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_SHA256 = {
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
# Seconds to connect, and to download both files.
_CONNECT_S = 5.0
_DOWNLOAD_S = 20.0

# Seconds until all responses of an entry point must have arrived.
_ANSWER_S = 30.0

# Correct predictions out of ten that an entry point needs.
_NEEDED = 8

Labelled = Mapping[Image, str]


def main() -> int:
    """Run the demo. Returns 0 when every request got a response and enough labels are right, else 1; 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        images, what = _images()
        print(f"images: {what}")
        with Twin(worker="push") as twin:
            # Google's clients read their settings from the environment.
            os.environ.update({**twin.env, **without_proxy(os.environ)})
            print(f"twin:   Pub/Sub, Storage and the worker are ready after {time.monotonic() - began:.1f} s\n")
            good = [_through(name, entry_point, images) for name, entry_point in _entry_points(twin).items()]
    except (ChildFailed, OSError) as exc:
        print(f"the twin did not start: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"everything has stopped, after {time.monotonic() - began:.1f} s")
    return 0 if all(good) else 1


def _through(name: str, entry_point: EntryPoint, images: Labelled) -> bool:
    """Send all images through one entry point and print the responses."""
    began = time.monotonic()
    outcomes = send_through(entry_point, images, _ANSWER_S)
    took = time.monotonic() - began
    order = {image: number for number, image in enumerate(images)}
    print(f"{'through':7} {'file':18} {'label':12} {'expected':12} {'':5} {'score':>6} {'ms':>6}")
    for outcome in sorted(outcomes, key=lambda outcome: order[outcome.image]):
        _, label, score, ms = rows(Record.of_outcome(outcome))[0]
        expected = images[outcome.image]
        verdict = "right" if label == expected else "wrong"
        print(f"{name:7} {outcome.image.name:18} {label:12} {expected:12} {verdict} {score:>6} {ms:>6}")
    answered = sum(outcome.ok for outcome in outcomes)
    right = sum(Record.of_outcome(outcome).label == images[outcome.image] for outcome in outcomes)
    print(f"{name}: {answered} of {len(images)} answered, {right} of {len(images)} right, in {took:.2f} s\n")
    return answered == len(images) and right >= _NEEDED * len(images) // 10


def _entry_points(twin: Twin) -> dict[str, EntryPoint]:
    cloud = Cloud(twin.project)
    return {
        "topic": entry_points.topic(cloud),
        "bucket": entry_points.bucket(cloud, twin.env["UPLOAD_BUCKET"], "demo"),
        "HTTP": entry_points.http(twin.env["WORKER_URL"], _ANSWER_S),
    }


def _images() -> tuple[Labelled, str]:
    """Ten labelled image files, one per class, and a description of them."""
    shared = Path(os.environ.get("SHARED", _ROOT.parent / "shared")) / "data" / "fashion-mnist"
    cache = _BUILD / "data" / "fashion-mnist"
    for folder, origin in ((shared, "found on this machine"), (cache, "downloaded")):
        if files := _published(folder):
            return _test_images(*files), f"the first Fashion-MNIST test image of each class ({origin})"
    try:
        _download(cache)
    except (OSError, ValueError) as exc:
        complain(f"Fashion-MNIST could not be downloaded ({exc})")
    if files := _published(cache):
        return _test_images(*files), "the first Fashion-MNIST test image of each class (downloaded)"
    with (_SAMPLES / "labels.csv").open() as file:
        drawings: dict[Image, str] = {
            ImageFile(_SAMPLES / row["file"], row["file"]): row["label"] for row in csv.DictReader(file)
        }
    return drawings, "the project's drawings in client/samples/"


def _published(folder: Path) -> list[bytes] | None:
    """The dataset's two test files, decompressed; None when one is missing or differs from the published file."""
    unpacked = []
    for name, sha256 in _SHA256.items():
        path = folder / name
        if not path.is_file():
            return None
        packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != sha256:
            complain(f"{path} differs from the published file and is not used")
            return None
        unpacked.append(gzip.decompress(packed))
    return unpacked


def _download(folder: Path) -> None:
    """Download the test files, 4 MB. Raises OSError, or ValueError when a file differs from the published one."""
    complain(f"downloading the Fashion-MNIST test images (4 MB) from {_ORIGIN}")
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _DOWNLOAD_S
    for name, sha256 in _SHA256.items():
        received = bytearray()
        with urllib.request.urlopen(_ORIGIN + name, timeout=_CONNECT_S) as response:  # nosec B310  # https, and hashed
            while chunk := response.read(65536):
                received += chunk
                if time.monotonic() > deadline:
                    raise OSError(f"it takes longer than {_DOWNLOAD_S:g} s")
        if hashlib.sha256(received).hexdigest() != sha256:
            raise ValueError(f"the download differs from the published {name}")
        # Written under another name first, so that the final name never has a partial file.
        part = folder / f"{name}.part"
        part.write_bytes(received)
        part.replace(folder / name)


def _test_images(images: bytes, labels: bytes) -> Labelled:
    """The first image of each class as a PNG file. Both files are IDX: a header of 16 or 8 bytes, then the values."""
    from PIL import Image as PillowImage

    folder = _BUILD / "demo"
    found: dict[Image, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number, label in enumerate(parse_labels(read_text(_LABELS))):
        place = 16 + 28 * 28 * (labels.index(number, 8) - 8)
        path = folder / f"{label.lower().replace('/', '-').replace(' ', '-')}.png"
        PillowImage.frombytes("L", (28, 28), images[place : place + 28 * 28]).save(path)
        found[ImageFile(path, path.name)] = label
    return found


if __name__ == "__main__":
    sys.exit(main())
