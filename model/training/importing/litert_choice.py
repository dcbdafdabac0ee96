"""Rewrites a .tflite file so that it has one input of a fixed size and one output, the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow.lite.tools import flatbuffer_utils

from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.export.source import Choice, chosen


def needs_choice(interpreter: Any, choice: Choice) -> bool:
    """Whether the file must be rewritten: a name is chosen, it has not one output, or the size is open and given."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    is_open = len(inputs) == 1 and any(edge < 1 for edge in inputs[0]["shape_signature"][1:])
    return bool(choice.signature or choice.output or len(outputs) != 1 or (is_open and choice.size))


def with_choice(path: Path, choice: Choice) -> tuple[bytes, int]:
    """The file with the chosen graph first, and the chosen output as its only one; and that output's former place.

    Raises SourceError, which lists the names, and for a file whose graphs call each other by their numbers.
    """
    try:
        return _with_choice(path, choice)
    except SourceError:
        raise
    except Exception as exc:  # the reader raises whatever a damaged file causes
        raise SourceError(f"{path} cannot be read: {reason(exc)}") from exc


def _with_choice(path: Path, choice: Choice) -> tuple[bytes, int]:
    model = flatbuffer_utils.read_model(str(path))
    signatures = {each.signatureKey.decode(): each for each in model.signatureDefs or ()}
    if choice.signature is not None:
        if choice.signature not in signatures:
            listed = ", ".join(map(quoted, signatures)) or "none"
            raise SourceError(f"{path} has no signature named {choice.signature}; its signatures are: {listed}")
        _put_first(path, model, signatures[choice.signature], choice.signature)
    graph = model.subgraphs[0]
    own = [each for each in signatures.values() if each.subgraphIndex == 0]
    place = chosen(str(path), _names(graph, own[0] if own else None), choice.output)
    graph.outputs = [graph.outputs[place]]
    if choice.size and len(graph.inputs) == 1:
        _fix(graph.tensors[graph.inputs[0]], choice.size)
    # The signatures name outputs that the file has no more. Without signatures, its first graph is run.
    model.signatureDefs = []
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), place


def _put_first(path: Path, model: Any, signature: Any, name: str) -> None:
    number = signature.subgraphIndex
    if number and len(model.subgraphs) != len({each.subgraphIndex for each in model.signatureDefs}):
        raise SourceError(f"{path} holds loops or conditions, so that its signature {name} cannot be served")
    model.subgraphs.insert(0, model.subgraphs.pop(number))
    for each in model.signatureDefs:
        moved = each.subgraphIndex
        each.subgraphIndex = 0 if moved == number else moved + (moved < number)


def _names(graph: Any, signature: Any) -> Sequence[str]:
    """The names of a graph's outputs, in their order: those of its signature, else those of the tensors."""
    named = {each.tensorIndex: each.name.decode() for each in signature.outputs} if signature else {}
    return [named.get(tensor) or graph.tensors[tensor].name.decode() for tensor in graph.outputs]


def _fix(tensor: Any, size: int) -> None:
    """Give the open edges of an image this size."""
    if tensor.shapeSignature is None or len(tensor.shapeSignature) != 4:
        return
    batch, *edges, channels = (int(each) for each in tensor.shapeSignature)
    row = [size if edge < 1 else edge for edge in edges]
    tensor.shapeSignature, tensor.shape = [batch, *row, channels], [1 if batch < 1 else batch, *row, channels]
