"""The packaged source of a 2nd-gen function is complete: it serves without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from infra.package import stage

SCRIPT = """
import sys
from functions_framework import create_app
app = create_app("serve", "main.py").test_client()
assert app.get("/ready").status_code == 200, app.get("/ready").data
reply = app.post("/predict?top_k=1", data=sys.stdin.buffer.read())
print(reply.get_json()["predictions"][0]["label"])
import functions.main, model
print(functions.main.__file__)
import os
os._exit(0)
"""


def test_the_packaged_source_serves_requests(tmp_path: Path, root: Path) -> None:
    archive = stage(tmp_path / "package")
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        packed.extractall(tmp_path / "served")
        installed = packed.read("requirements.txt").decode()
    assert "--hash=sha256:" in installed and installed == (root / "functions" / "requirements.lock").read_text()
    assert {"main.py", "requirements.txt", "functions/main.py"} <= set(names)
    assert not [name for name in names if "training/" in name and name.endswith(".py")]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    image = next((root / "client" / "samples").glob("sneaker.*"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path / "served",
        env=env | {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on"},
        input=image.read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    label, origin = done.stdout.decode().split("\n")[:2]
    assert label and Path(origin).is_relative_to(tmp_path)


def test_the_package_is_reproducible(tmp_path: Path) -> None:
    first = stage(tmp_path / "package").read_bytes()
    assert stage(tmp_path / "package").read_bytes() == first
