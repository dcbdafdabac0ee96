"""Reads the weights of a Hugging Face repository: model.safetensors, or the parts that its index names.

Each array is asked for by name and shape. What is asked for and missing, or there and never asked for, is refused: the
network would then be another one than the weights are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # numpy knows bfloat16 afterwards
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.importing.fields import read_fields

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"

_TYPES = "F64", "F32", "F16", "BF16"

# Arrays that a classifier does not use: counters of training, places that are counted again, and other heads.
_UNUSED = re.compile(
    r".*\.(num_batches_tracked|position_ids|relative_position_index|mask_token|attn_mask)|\w+\.pooler\..*"
)


class Weights:
    """The arrays of a repository by name, as float32."""

    def __init__(self, files: dict[str, Any], where: str) -> None:
        self.where, self._files, self._left = where, files, {name for name in files if not _UNUSED.fullmatch(name)}

    def take(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        """The array with this name and shape, in which None is any number. Raises SourceError without one."""
        if name not in self._files:
            raise SourceError(
                f"{self.where} has no array {quoted(name)}, which its configuration needs: the configuration or the "
                "weights are of another network, or the arrays have other names than transformers gives them"
            )
        found = self._files[name].get_slice(name)
        actual, kind = found.get_shape(), found.get_dtype()
        if len(actual) != len(shape) or any(
            edge not in (None, given) for edge, given in zip(shape, actual, strict=True)
        ):
            wanted = ", ".join(str(edge or "any") for edge in shape)
            raise SourceError(
                f"{self.where}: {quoted(name)} has the shape {actual}; its configuration needs [{wanted}]"
            )
        if kind not in _TYPES:
            raise SourceError(f"{self.where}: {quoted(name)} has the type {kind}; it must be {', '.join(_TYPES)}")
        self._left.discard(name)
        array: NDArray[np.float32] = self._files[name].get_tensor(name).astype(np.float32)
        if not np.isfinite(array).all():
            raise SourceError(f"{self.where}: {quoted(name)} has values that are not finite numbers")
        return array

    def check_all_taken(self) -> None:
        """Raise SourceError when arrays are left that no part of the network has asked for."""
        if self._left:
            first = sorted(self._left)[:3]
            raise SourceError(
                f"{self.where} has {len(self._left):,} arrays that its configuration does not need, such as "
                f"{', '.join(map(quoted, first))}: the configuration or the weights are of another network"
            )


@contextmanager
def open_weights(folder: Path) -> Iterator[Weights]:
    """The weights of a folder. Raises SourceError when a file is missing or damaged."""
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        for path in _files(folder):
            if not path.is_file():
                raise SourceError(f"{path} is no file; {folder / INDEX} names it")
            try:
                file = stack.enter_context(safe_open(path, "np"))
            except (SafetensorError, OSError) as exc:
                raise SourceError(f"{path} is not a safetensors file: {reason(exc)}") from exc
            for name in file.keys():  # noqa: SIM118  # it is no dictionary
                if found.setdefault(name, file) is not file:
                    raise SourceError(f"{folder} has two arrays {quoted(name)}, one of them in {path.name}")
        yield Weights(found, str(folder))


def _files(folder: Path) -> list[Path]:
    if (folder / FILE).is_file():  # transformers reads this one, also where there is an index
        return [folder / FILE]
    index = read_fields(folder / INDEX)
    names = list(index.object("weight_map").values.values())
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name, re.ASCII):
            raise SourceError(
                f"{index.where}: weight_map names {quoted(name)}; it must be a .safetensors file next to it"
            )
    return [folder / name for name in sorted(set(names))]
