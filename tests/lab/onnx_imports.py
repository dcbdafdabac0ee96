"""What tests of ONNX imports share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from model.training.importing.import_model import ImportOptions
from tests.onnx_models import network


def order(path: Path, labels: int = 3, **more: Any) -> ImportOptions:
    """An import of a file with so many labels and pixels from 0 to 1; `more`: other options."""
    listed = path.parent / "labels.txt"
    listed.write_text("".join(f"label {n}\n" for n in range(labels)))
    return ImportOptions(str(path), labels=listed, **{"pixels": "unit", **more})


def two_outputs() -> Any:
    """Scores, and a second output that takes a path and weights of its own."""
    made = network()
    made.graph.node.append(helper.make_node("MatMul", ["flat", "wide"], ["features"]))
    made.graph.initializer.append(numpy_helper.from_array(np.ones((90, 1_000), np.float32), "wide"))
    made.graph.output.insert(0, helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1_000]))
    return made
