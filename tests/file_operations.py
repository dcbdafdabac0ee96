"""TensorFlow's operations that read or write files, or call Python, as parts of a signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def first(dataset: Any) -> Any:
    return dataset.take(1).reduce(tf.constant(b""), lambda _, each: each)


def byte(text: Any) -> Any:
    return tf.cast(tf.io.decode_raw(text, tf.uint8)[0], tf.float32)


def table(file: str) -> Any:
    raw = tf.raw_ops
    found = raw.HashTableV2(key_dtype=tf.int64, value_dtype=tf.string)
    options = {"key_index": -1, "value_index": -2, "vocab_size": -1, "delimiter": "\t"}
    filled = raw.InitializeTableFromTextFileV2(table_handle=found, filename=file, **options)
    with tf.control_dependencies([filled]):
        zero = tf.zeros((1,), tf.int64)
        return byte(raw.LookupTableFindV2(table_handle=found, keys=zero, default_value=tf.constant(b""))[0])


def restored(file: str) -> Any:
    return tf.raw_ops.RestoreV2(prefix=file, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def then(*effects: Any) -> Any:
    with tf.control_dependencies(effects):
        return tf.constant(0.5)


def summary(file: str) -> Any:
    raw = tf.raw_ops
    writer = raw.SummaryWriter(shared_name="w", container="")
    options = {"max_queue": 1, "flush_millis": 1, "filename_suffix": ""}
    return then(raw.CreateSummaryFileWriter(writer=writer, logdir=file, **options))


def queued(file: str) -> Any:
    raw = tf.raw_ops
    queue = raw.FIFOQueueV2(component_types=[tf.string])
    with tf.control_dependencies([raw.QueueEnqueueV2(handle=queue, components=[tf.constant(file)])]):
        reader = raw.WholeFileReaderV2()
        return byte(raw.ReaderReadV2(reader_handle=reader, queue_handle=queue)[1])


def branched(file: str, of: Callable[[str], Any]) -> Any:
    return tf.cond(tf.constant(True), lambda: of(file), lambda: tf.constant(0.0))


def looped(file: str, of: Callable[[str], Any]) -> Any:
    return tf.while_loop(lambda x: x < 1, lambda x: (x + 1 + 0 * of(file),), (tf.constant(0.0),))[0]


def read(file: str) -> Any:
    return byte(tf.io.read_file(file))


ATTACKS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a file": ("ReadFile", read),
    "a file in a branch": ("ReadFile", lambda file: branched(file, read)),
    "a file in a loop": ("ReadFile", lambda file: looped(file, read)),
    "a file of each image": ("ReadFile", lambda file: tf.map_fn(lambda _: read(file), tf.zeros((1,)))[0]),
    "a file by a reader": ("ReaderReadV2", queued),
    "lines": ("TextLineDataset", lambda file: byte(first(tf.data.TextLineDataset(file)))),
    "records": ("FixedLengthRecordDatasetV2", lambda file: byte(first(tf.data.FixedLengthRecordDataset(file, 1)))),
    "TFRecords": ("TFRecordDataset", lambda file: byte(first(tf.data.TFRecordDataset(file)))),
    "a CSV": (
        "CSVDatasetV2",
        lambda file: byte(first(tf.data.experimental.CsvDataset(file, [tf.string]).map(lambda each: each))),
    ),
    "a cache": ("CacheDatasetV2", lambda file: byte(first(tf.data.Dataset.from_tensors("x").cache(file)))),
    "a list of files": ("MatchingFiles", lambda file: byte(tf.io.matching_files(file + "*")[0])),
    "a table of a file": ("InitializeTableFromTextFileV2", table),
    "memory of a file": (
        "ImmutableConst",
        lambda file: tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[], memory_region_name=file),
    ),
    "a checkpoint": ("RestoreV2", restored),
    "written": ("WriteFile", lambda file: then(tf.io.write_file(file, "x"))),
    "a checkpoint, written": (
        "SaveV2",
        lambda file: then(
            tf.raw_ops.SaveV2(prefix=file, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)])
        ),
    ),
    "summaries": ("CreateSummaryFileWriter", summary),
    "printed": ("PrintV2", lambda file: then(tf.print("x", output_stream=f"file://{file}"))),
    "Python": ("PyFunc", lambda file: tf.numpy_function(lambda: 0.5, [], tf.float32)),
    "eager Python": ("EagerPyFunc", lambda file: tf.py_function(lambda: 0.5, [], tf.float32)),
}
"""For each kind of access, the operation that a refusal names, and what makes a number of a file with it."""
