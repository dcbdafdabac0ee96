"""Reads config.json of a Hugging Face repository: which classifier it is, its labels, the meaning of its numbers.

Numbers become scores as `ImageClassificationPipeline` of transformers makes them.
"""

from __future__ import annotations

import re

from model.engines.base import LOGITS, MULTILABEL_LOGITS
from model.text import quoted
from model.training.errors import SourceError
from model.training.importing.fields import Fields
from model.training.importing.stated import listed_labels

_CLASSIFIER = re.compile(r"\w+ForImageClassification(WithTeacher)?")

# Meanings by the kind of problem. Without one, the pipeline of transformers makes a softmax of several numbers.
_MEANINGS = {
    None: LOGITS,
    "single_label_classification": LOGITS,
    "multi_label_classification": MULTILABEL_LOGITS,
}

# The name that transformers gives a label when none is known.
_UNKNOWN = re.compile(r"LABEL_\d+")


def read_meaning(config: Fields) -> str:
    """The meaning of the model's numbers, a name of model.engines.outputs.ROWS. Raises SourceError unless the model is
    a classifier of images."""
    names = config.values.get("architectures", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise config.wrong("architectures", "a list of names")
    for name in names:
        if not _CLASSIFIER.fullmatch(name):
            raise SourceError(
                f"{config.where}: architectures holds {quoted(name)}, which is no image classifier; the names of those "
                "end with ForImageClassification"
            )
    problem = config.values.get("problem_type")
    if not (problem is None or isinstance(problem, str)) or problem not in _MEANINGS:
        raise config.wrong("problem_type", ", ".join(name for name in _MEANINGS if name))
    return _MEANINGS[problem]


def read_labels(config: Fields) -> tuple[str, ...] | None:
    """The labels; None where the file has none, or only `LABEL_0` and so on. Raises SourceError."""
    if "id2label" not in config:
        return None
    labels = listed_labels(config, "id2label")
    return None if all(map(_UNKNOWN.fullmatch, labels)) else labels
