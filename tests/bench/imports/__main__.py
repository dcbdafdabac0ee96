"""`python -m tests.bench.imports`: imports twenty models, and compares each with its own tool."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.imports.measure import Result, measured
from tests.bench.imports.page import page
from tests.bench.imports.subject import Photos
from tests.bench.parts import ROOT
from tests.bench.rows import machine_words

_DATA = Path(os.environ.get("SHARED", ROOT.parent / "shared")).absolute() / "data"
_NEEDED = {"PyTorch": ("torch", "torchvision", "onnxscript")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models that this machine can make."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.imports", description=__doc__)
    parser.add_argument("--photos", type=int, default=200, help="photos to compare on (default 200)")
    parser.add_argument(
        "--only", metavar="REGEX", help="measure these models, by tool and name, and keep the other rows"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("build/bench/imports.md"), help="default build/bench/imports.md"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench/imports.json"), help="default build/bench/imports.json"
    )
    options = parser.parse_args(arguments)
    files = sorted((_DATA / "imagenet-samples").glob("*.JPEG"))[: options.photos]
    if not files:
        parser.error(f"no photos in {_DATA / 'imagenet-samples'}: set SHARED")

    import tensorflow as tf

    from tests.bench.imports import of_files, of_keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    photos, machine = Photos(files), machine_words()
    weights = _DATA / "weights"
    subjects = of_keras.subjects(weights, photos) + of_files.subjects(weights, photos)
    found = _earlier(options.out) if options.only else {}
    for subject in subjects:
        title = f"{subject.tool} {subject.name}"
        installed = all(map(importlib.util.find_spec, _NEEDED.get(subject.tool, ())))
        if installed and re.search(options.only or "", title):
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                found[title] = measured(subject, photos)
            print(found[title], file=sys.stderr, flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps([asdict(each) for each in found.values()], indent=1) + "\n")
    names = [f"{subject.tool} {subject.name}" for subject in subjects]
    results = [found[name] for name in names if name in found]
    date = f"{datetime.datetime.now(datetime.UTC):%-d %B %Y}"
    options.page.parent.mkdir(parents=True, exist_ok=True)
    left_out = [name for name in names if name not in found]
    options.page.write_text(page(results, len(files), date, machine, left_out))
    print(f"written to {options.out} and {options.page}")
    return any(each.fault for each in results)


def _earlier(file: Path) -> dict[str, Result]:
    """The results of earlier runs, by tool and name."""
    rows = json.loads(file.read_text()) if file.exists() else []
    return {f"{row['tool']} {row['name']}": Result(**row) for row in rows}


if __name__ == "__main__":
    sys.exit(main())
