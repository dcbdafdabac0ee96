"""Stand-ins for gcloud, terraform and make: they record their calls and print prepared answers."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from infra.deploy.images import source_tag

BASE = f"python@sha256:{'b' * 64}"
"""The base image of the stand-in for its registry."""

REGISTRY = "europe-west1-docker.pkg.dev/some-project/images/worker"

_TOOL = """\
import json, os, pathlib, sys
name = pathlib.Path(sys.argv[0]).name
here = pathlib.Path({here!r})
words = [name if name != "__main__.py" else sys.argv[1], *sys.argv[1:]]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
if (here / "calls").read_text().count("\\n") == int((here / "failing").read_text()):
    sys.exit(3)
answers = json.loads((here / "answers").read_text())
for answer in answers:
    if answer["to"] in " ".join(words):
        if answer["once"]:
            answers.remove(answer)
            (here / "answers").write_text(json.dumps(answers))
        print(answer["said"])
        sys.exit(answer["code"])
"""


class Tools:
    """A folder for PATH, and a checkout small enough to be deployed often."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.root, self._folder = folder / "bin", folder / "checkout", folder
        self._answers: list[dict[str, object]] = []
        script = _TOOL.format(here=str(folder))
        self.bin.mkdir()
        for name in ("gcloud", "terraform", "make"):
            tool = self.bin / name
            tool.write_text(f"#!{sys.executable} -IS\n{script}")
            tool.chmod(0o755)
        # What a deployment in that checkout runs: `python -m infra.deploy smoke` and `base-image`.
        for path, text in {
            # Packages: as a mere folder, `infra` would be looked for where this project is installed, too.
            "infra/__init__.py": "",
            "infra/deploy/__init__.py": "",
            "infra/deploy/__main__.py": script,
            "Dockerfile": "ARG BASE=python:3.11-slim\nFROM ${BASE}\n",
            "infra/page.Dockerfile": "ARG BASE=python:3.11-slim\nFROM ${BASE}\n",
            "infra/slim.py": "",
            "client/gcp.py": "topics\n",
            "client/samples/bag.bmp": "pixels\n",
            "functions/main.py": "entry points\n",
            "functions/requirements.lock": "ai-edge-litert==2.3.0 \\\n    --hash=sha256:0\n",
            "functions/requirements-kafka.lock": "ai-edge-litert==2.3.0\nconfluent-kafka==2.16.1\n",
            "functions/requirements-onnx.lock": "ai-edge-litert==2.3.0\nonnxruntime==1.32.0\n",
            "functions/requirements-gpu-onnx.lock": "ai-edge-litert==2.3.0\nonnxruntime-gpu==1.26.0\n",
            "functions/requirements-gpu-savedmodel.lock": "ai-edge-litert==2.3.0\ntensorflow==2.21.0\n",
            "model/engines/base.py": "scores\n",
            "model/training/fashion_mnist/train.py": "epochs\n",
        }.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        self.forget()
        self.answer("base-image", BASE)
        self.output()

    def answer(self, to: str, said: str = "", code: int = 0, *, once: bool = False) -> None:
        """Prepare the answer to a call with these words. The latest answer takes precedence."""
        self._answers.insert(0, {"to": to, "said": said, "code": code, "once": once})
        (self._folder / "answers").write_text(json.dumps(self._answers))

    def output(self, **changed: object) -> None:
        """Prepare Terraform's outputs."""
        given = {name: {"value": value} for name, value in (OUTPUTS | changed).items() if value is not None}
        self.answer("output -json", json.dumps(given))

    def forget(self, failing: int = 0) -> None:
        """Forget recorded calls. The call of that number, counted from 1, fails with 3."""
        (self._folder / "calls").write_text("")
        (self._folder / "failing").write_text(str(failing))

    def images(self, *tags: str, once: bool = False, name: str = "worker") -> None:
        """Prepare the images of this name in the registry: one for each tag, newest first."""
        registry = f"{REGISTRY.removesuffix('worker')}{name}"
        listed = [
            {"package": registry, "version": f"sha256:{i}", "tags": [tag], "createTime": f"2026-11-2{9 - i}T09:00:00Z"}
            for i, tag in enumerate(tags)
        ]
        self.answer(f"/{name} --include-tags", json.dumps(listed[::-1]), once=once)

    @property
    def tag(self) -> str:
        """The tag of the checkout's image."""
        return source_tag(self.root, BASE)

    @property
    def calls(self) -> list[list[str]]:
        """Each command that was run, as it was run."""
        return [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]

    def ran(self) -> list[str]:
        """The same, in three words each, its flags left out."""
        return [" ".join([word for word in call if not word.startswith("-")][:3]) for call in self.calls]


DEPLOYED = {"region": "europe-west1", "compute": "push", "artifact_prefix": None}
OUTPUTS = {
    "topics": {name: f"projects/some-project/topics/{name}" for name in ("req_predict", "res_predict")},
    "buckets": {name: f"some-project-{name}" for name in ("uploads", "payloads", "models")},
    "worker_url": "https://worker.example",
    "image": f"{REGISTRY}@sha256:7",
    "deployed": DEPLOYED,
}


def printed(out: str) -> list[list[str]]:
    """The commands among what was printed, as a shell would take them."""
    lines = [line for line in out.splitlines() if line and not line.startswith(("#", "export "))]
    return [shlex.split(line) for line in lines]
