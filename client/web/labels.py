"""The true labels of a job's images: those that lie where the job's images do, or a CSV file that the browser sends."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from client.gcp import UsageError
from client.jobs.job import Job
from client.report.truth import Truth, parse_truth, read_truth
from client.results.record import Record

CSV = "labels.csv"
"""How messages and commands name what the browser sends."""


@dataclass(frozen=True, slots=True)
class Labels:
    """True labels. `name`: their path as a command has it. `folder`: where the relative paths of rows begin."""

    truth: Truth
    name: str
    folder: str = ""

    def located(self, record: Record) -> Record:
        """Return the row with the path by which `truth` knows its file."""
        return replace(record, file=os.path.join(self.folder, record.file)) if record.file else record


def sent_labels(content: bytes) -> Labels:
    """Return the labels of a CSV file with the columns file,label. Raises UsageError."""
    return Labels(parse_truth(content, CSV), CSV)


def place_of_labels(job: Job) -> str:
    """Return the folder or CSV file that the job's command named, in its words; empty where labels cannot be there."""
    made = job.definition
    if made.machine != socket.gethostname() or not made.described:
        return ""
    path = Path(made.folder, made.described)
    return made.described if path.is_dir() or (path.suffix == ".csv" and path.is_file()) else ""


def own_labels(job: Job) -> Labels:
    """Return the labels at `place_of_labels`: a folder of images for each label, or file,label. Raises UsageError."""
    name = place_of_labels(job)
    if not name:
        raise UsageError(
            "the job's images are in no folder of this machine: choose a folder with a folder of images for each "
            "label, or a CSV file with file,label"
        )
    return Labels(read_truth(Path(job.definition.folder, name)), name, job.definition.folder)
