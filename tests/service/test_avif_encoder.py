"""AVIFs of another encoder, where it is installed, are read like our own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from model.images.avif import coded_pixels
from model.images.decode import decode_image
from model.images.limits import Limits
from tests.unit.test_avif_frames import drawn


@pytest.mark.optional
@pytest.mark.skipif(not shutil.which("avifenc"), reason="avifenc is not installed")
@pytest.mark.parametrize(
    "options", [["--grid", "2x2"], ["-d", "10"], ["-d", "12", "-y", "444"], ["-l"], ["-c", "rav1e"]], ids=" ".join
)
def test_good_files_of_another_encoder_are_read(options: list[str], tmp_path: Path) -> None:
    drawn("RGBA", 256).save(tmp_path / "a.png")
    command = ["avifenc", "-s", "10", *options, "a.png", "a.avif"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this avifenc has no such option")  # noqa: TID251
    data = (tmp_path / "a.avif").read_bytes()
    assert coded_pixels(data) == 2 * 256 * 256
    assert decode_image(data, Limits()).size == (256, 256)
