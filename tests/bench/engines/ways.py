"""The compared ways to run a model file, by library. The first of each is what the worker uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]

# Runs a model on a tensor [N, ...] of the type that it takes; returns its output [N, ...].
Run = Callable[[Tensor], Tensor]

# Opens a model file. The folder keeps what a library writes, such as caches, between processes.
Way = Callable[[Path, Path], Run]


def _interpreter(path: Path, folder: Path) -> Run:
    """As model/engines/litert.py: an interpreter for each batch size."""
    from ai_edge_litert.interpreter import Interpreter

    made: dict[int, Any] = {}

    def run(images: Tensor) -> Tensor:
        if not (found := made.get(len(images))):
            found = made[len(images)] = Interpreter(model_path=str(path), num_threads=1)
            found.resize_tensor_input(found.get_input_details()[0]["index"], images.shape, strict=True)
            found.allocate_tensors()
        found.set_tensor(found.get_input_details()[0]["index"], images)
        found.invoke()
        return np.asarray(found.get_tensor(found.get_output_details()[0]["index"]))

    return run


def _compiled(path: Path, folder: Path, **options: Any) -> Run:
    """LiteRT's CompiledModel, one for each batch size. `options` are those of CpuOptions."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.options import CpuOptions, Options

    if "xnnpack_weight_cache_path" in options:
        options["xnnpack_weight_cache_path"] = str(folder / "weights.cache")
    made: dict[int, tuple[Any, int, Any, Any, tuple[int, ...], str]] = {}

    def run(images: Tensor) -> Tensor:
        if len(images) not in made:
            model = CompiledModel.from_file(
                str(path), options=Options(cpu_options=CpuOptions(num_threads=1, **options))
            )
            keys = list(model.get_signature_list())
            index = keys.index(SCORING) if SCORING in keys else 0
            if len(images) > 1:
                model.resize_input_tensor(0, images.shape, index)
            (details,) = model.get_output_tensor_details(keys[index]).values()
            shape = len(images), *map(int, details["shape"][1:])
            buffers = model.create_input_buffers(index)[0], model.create_output_buffers(index)[0]
            made[len(images)] = model, index, *buffers, shape, details["dtype"]
        model, index, given, made_of, shape, dtype = made[len(images)]
        given.write(images)
        model.run_by_index(index, [given], [made_of])
        return np.asarray(made_of.read(math.prod(shape), dtype)).reshape(shape)

    return run


def _session(path: Path, folder: Path, *, saved: str = "", **settings: Any) -> Run:
    """ONNX Runtime's session as model/engines/onnx.py opens it, with some settings changed.

    `saved`: the name of a file that the first process writes after the optimisation of the graph, and others load.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", settings.pop("spinning", "0"))
    for key, value in settings.items():
        setattr(options, key, value)
    if saved and (kept := folder / saved).exists():
        path = kept
    elif saved:
        options.optimized_model_filepath = str(folder / saved)
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return np.asarray(session.run(None, {name: images})[0])

    return run


# The signature that scores, where a file has several: that of this project's exports.
SCORING = "score"

# Images in a call.
BATCHES = 1, 8, 32

# The module of a library that runs files of this suffix.
LIBRARIES = {".tflite": "ai_edge_litert.interpreter", ".onnx": "onnxruntime"}

WAYS: dict[str, dict[str, Way]] = {
    ".tflite": {
        "Interpreter": _interpreter,
        "CompiledModel": _compiled,
        "CompiledModel, weight cache": partial(_compiled, xnnpack_weight_cache_path=""),
    },
    ".onnx": {
        "session": _session,
        "two threads": partial(_session, intra_op_num_threads=2),
        "two threads, spinning": partial(_session, intra_op_num_threads=2, spinning="1"),
        "without arena": partial(_session, enable_cpu_mem_arena=False),
        "without memory pattern": partial(_session, enable_mem_pattern=False),
        "optimised file": partial(_session, saved="optimised.onnx"),
    },
}


def input_of(path: Path) -> tuple[list[int | None], str]:
    """Shape [N, ...] and type of a model's input; N is None when it takes any number of images."""
    if path.suffix == ".onnx":
        import onnxruntime

        shape = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
        return [edge if isinstance(edge, int) else None for edge in shape], "float32"
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_path=str(path)).get_input_details()[0]
    return [int(edge) if edge >= 0 else None for edge in details["shape_signature"]], np.dtype(details["dtype"]).name
