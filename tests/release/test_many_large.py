"""Many of the largest images at once: all processes of the worker stay under 400 MB, and every image is answered."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from PIL import Image

from infra.local.twin import Twin
from tests.fault.process_monitor import ProcessMonitor
from tests.image_files import save
from tests.pubsub_client import PubsubClient

COUNT = 12
PEAK_MB = 400


@cache
def webp(noise: int) -> bytes:
    """12 million pixels of a phone with alpha; the more noise, the more bytes."""
    pixels = np.full((3_024, 4_032, 4), 200, np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(0, noise, (3_024, 4_032, 3), np.uint8)
    return save(Image.fromarray(pixels), "WEBP", lossless=True, method=0, quality=0)


@pytest.mark.parametrize("way", ["pull, inline", "push, inline", "push, by reference", "HTTP"])
def test_many_large_images_share_the_memory(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker="pull" if way.startswith("pull") else "push") as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        assert twin._worker is not None
        with ProcessMonitor(twin._worker.pid) as watch, PubsubClient(twin.project) as pubsub:
            if way == "HTTP":
                with ThreadPoolExecutor(COUNT) as pool:
                    statuses = list(pool.map(post, [f"{twin.worker_url}/predict"] * COUNT))
                assert statuses == [200] * COUNT
            else:
                asked = {f"r{number}" for number in range(COUNT)}
                data = inline() if "inline" in way else reference(pubsub)
                for request_id in sorted(asked):
                    pubsub.publish(data, request_id=request_id)
                found = pubsub.responses(asked, timeout_s=150)
                assert {response.request_id: response.status for response in found} == dict.fromkeys(asked, "ok")
        assert watch.unchanged, "a process died"
    assert watch.peak_mb < PEAK_MB


def inline() -> bytes:
    assert 7_000_000 < len(webp(4)) < 10_000_000
    return webp(4)


def large() -> bytes:
    assert 14_000_000 < len(webp(8)) < 20_000_000
    return webp(8)


def reference(pubsub: PubsubClient) -> bytes:
    pubsub.storage.bucket("payloads").blob("large").upload_from_string(large(), timeout=60)
    return b'{"image_uri": "gs://payloads/large"}'


def post(url: str) -> int:
    request = urllib.request.Request(url, large(), {"Content-Type": "image/webp"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return int(answer.status)
