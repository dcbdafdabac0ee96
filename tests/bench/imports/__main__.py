"""`python -m tests.bench.imports`: imports models, and compares each with its own tool.

They are twenty that are made here, or with `--packages` trained ones that other people published.
"""

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

from tests.bench.imports.measure import Result, measured, measured_by_engine
from tests.bench.imports.page import networks, networks_of, page
from tests.bench.imports.subject import NotInstalled, Photos
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
    parser.add_argument(
        "--packages",
        metavar="FOLDER",
        type=Path,
        help="measure the trained networks of the packages in this folder, and keep the rest of the page",
    )
    options = parser.parse_args(arguments)
    files = sorted((_DATA / "imagenet-samples").glob("*.JPEG"))[: options.photos]
    if not files:
        parser.error(f"no photos in {_DATA / 'imagenet-samples'}: set SHARED")

    import tensorflow as tf

    from tests.bench.imports import of_files, of_keras, of_packages

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    photos, machine = Photos(files), machine_words()
    date, weights = f"{datetime.datetime.now(datetime.UTC):%-d %B %Y}", _DATA / "weights"
    options.page.parent.mkdir(parents=True, exist_ok=True)
    earlier = options.page.read_text() if options.page.exists() else ""
    if options.packages:
        found_networks, left_out = _networks(options.packages.absolute(), weights, photos)
        section = networks(found_networks, len(files), date, machine, left_out, of_packages.INSTALL)
        kept = networks_of(earlier)
        options.page.write_text(earlier.replace(kept, section) if kept else f"{earlier}\n{section}".lstrip("\n"))
        return any(each.fault for each in found_networks)
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
    left_out = [name for name in names if name not in found]
    options.page.write_text(page(results, len(files), date, machine, left_out, networks_of(earlier)))
    print(f"written to {options.out} and {options.page}")
    return any(each.fault for each in results)


def _networks(packages: Path, weights: Path, photos: Photos) -> tuple[list[Result], list[str]]:
    """The results of trained networks with each of their engines, and the names of those that are not installed."""
    from tests.bench.imports import of_files, of_packages

    trained = [each for each in of_files.subjects(weights, photos) if each.real]
    found: list[Result] = []
    left_out: list[str] = []
    for subject in [*trained, *of_packages.subjects(packages)]:
        try:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                found += measured_by_engine(subject, photos)
            print(found[-1], file=sys.stderr, flush=True)
        except NotInstalled:
            left_out.append(f"{subject.tool} {subject.name}")
    return found, left_out


def _earlier(file: Path) -> dict[str, Result]:
    """The results of earlier runs, by tool and name."""
    rows = json.loads(file.read_text()) if file.exists() else []
    return {f"{row['tool']} {row['name']}": Result(**row) for row in rows}


if __name__ == "__main__":
    sys.exit(main())
