"""Beam's RunInference over files: `python -m tests.bench.peers.servers.beam_pipeline`, as docs/bulk.md has it.

Writes each answer to $OUT with its moment, by the clock that all processes of a machine share, prints `done` and stays,
so that its memory can be looked at.
"""

from __future__ import annotations

import json
import os
import signal
import time

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from model.beam import ArtifactModelHandler, read_image


def main() -> None:
    """Answer all files that are named in $NAMES, a name a line."""
    names, out = os.environ["NAMES"], os.environ["OUT"]
    handler = ArtifactModelHandler(os.environ["ARTIFACT"], engine=os.environ["ENGINE"])
    with beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner"])) as pipeline:
        images, _ = (
            pipeline | beam.io.ReadFromText(names) | beam.Reshuffle() | beam.Map(read_image).with_exception_handling()
        )
        (
            images
            | RunInference(KeyedModelHandler(handler))
            | beam.MapTuple(lambda name, answer: json.dumps(answer | {"image": name, "moment": time.perf_counter()}))
            | beam.io.WriteToText(out)
        )
    print("done", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
