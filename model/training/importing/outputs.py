"""Decides what a model's outputs mean: what its file says, else what the user says. It never guesses."""

from __future__ import annotations

import numpy as np

from model.engines.base import (
    LOGIT,
    LOGITS,
    MULTILABEL_LOGITS,
    MULTILABEL_PROBABILITIES,
    PROBABILITIES,
    PROBABILITY,
    Scores,
    Signature,
)
from model.engines.outputs import ROWS
from model.training.errors import SourceError
from model.training.export.parity import probes
from model.training.export.progress import say
from model.training.export.source import Source

# Meanings by the last operation. A softmax of the logarithms of a softmax is that softmax.
_LAST = {"softmax": PROBABILITIES, "sigmoid": MULTILABEL_PROBABILITIES, "log_softmax": LOGITS}

_SINGLE = {
    **dict.fromkeys((PROBABILITIES, MULTILABEL_PROBABILITIES), PROBABILITY),
    **dict.fromkeys((LOGITS, MULTILABEL_LOGITS), LOGIT),
}

# Smallest sum of an image's scores that are those of several softmaxes, for groups of labels.
_SEVERAL = 1.5

# Allowed difference of the sum of an image's probabilities from 1. Quantised models give multiples of 1/256.
_SUM_SLACK = 0.02

# How the model card describes each meaning.
_INDEPENDENT = "Its labels do not exclude each other: each score is a probability of its own."
_CHANGES = {
    MULTILABEL_PROBABILITIES: _INDEPENDENT,
    PROBABILITIES: "",
    LOGITS: "Its outputs are logits; a softmax makes them probabilities.",
    MULTILABEL_LOGITS: f"A sigmoid makes each of its logits a probability. {_INDEPENDENT}",
    PROBABILITY: "Its one output p is the probability of the second label; the first one has 1 - p.",
    LOGIT: "A sigmoid makes its one output the probability p of the second label; the first one has 1 - p.",
}


def described(source: Source, signature: Signature) -> str:
    """Sentences for the model card about the outputs and their labels; empty for one of several labels."""
    if signature.multi_label:
        return (
            f"{_CHANGES[signature.outputs]} An image has the labels with a score of at least {signature.threshold:g}."
        )
    if signature.outputs == PROBABILITIES and source.ends.last == "sigmoid":
        return "It ends with a sigmoid, and its labels exclude each other, as `--outputs probabilities` says."
    return _CHANGES[signature.outputs]


def meaning_of(source: Source, asked: str | None, signature: Signature, configured: str | None = None) -> str:
    """The meaning of the source's outputs, a name of model.engines.outputs.MEANINGS.

    `asked`: the user's answer, one of ROWS. `configured`: what the configuration next to the file says, LOGITS or
    MULTILABEL_LOGITS. Raises SourceError when the file does not say the meaning and the user does not either, or when
    they contradict each other.
    """
    stated, why = _stated(source, signature)
    if configured:
        stated, why = _with_configuration(source, stated, why, configured)
    if source.spec.outputs == 1:
        stated, given = _SINGLE.get(stated or ""), _SINGLE.get(asked or "")
    else:
        given = asked
    if (stated, given) == (MULTILABEL_PROBABILITIES, PROBABILITIES):
        return PROBABILITIES  # a sigmoid for each label does not say that an image may have several
    if (stated, given) == (None, PROBABILITIES) and not _sum_to_one(source, signature):
        sums = _sums(source, signature)
        say(
            f"warning: the scores of {source.origin} sum to {sums.min():.3g} to {sums.max():.3g} for an image, and "
            "probabilities of labels that exclude each other sum to 1; if they do not, add --outputs "
            "multilabel-probabilities"
        )
    if stated and given not in (None, stated):
        raise SourceError(f"--outputs is {asked}; {source.origin} gives {stated}: {why}. Leave --outputs out")
    if not (stated or given):
        raise SourceError(
            f"{source.origin} does not say what its outputs mean ({why}); name it with --outputs "
            f"({', '.join(ROWS)}): with another meaning the model's predictions are wrong"
        )
    return str(stated or given)


def _stated(source: Source, signature: Signature) -> tuple[str | None, str]:
    """What the file says, and why; None when it says nothing."""
    ends, single = source.ends, source.spec.outputs == 1
    if single and "softmax" in ends.last:
        raise SourceError(f"{source.origin} gives one score after a {ends.last}, which is the same for every image")
    if not single and "softmax" in ends.last and _sums(source, signature, ends.last).min() > _SEVERAL:
        raise SourceError(
            f"{source.origin} gives the scores of several softmaxes in one row, which sum to more than 1; a classifier "
            "gives one score for each label: save it with one of them"
        )
    if ends.last in _LAST:
        return _LAST[ends.last], f"it ends with {ends.last}"
    if ends.loss and not (single and ends.loss == LOGITS):
        return ends.loss, "its loss was compiled with from_logits=True"
    if not single and _sum_to_one(source, signature):
        return PROBABILITIES, "the scores of each image sum to 1"
    return None, f"it ends with {ends.last}" if ends.last else "its last operation is unknown"


def _with_configuration(source: Source, stated: str | None, why: str, configured: str) -> tuple[str, str]:
    """What the file and the configuration say together, and why. The model's export may have added the last operation.
    Raises SourceError when they contradict each other."""
    if stated is None:
        return configured, "its configuration says so (problem_type)"
    if configured == MULTILABEL_LOGITS and stated in (PROBABILITIES, LOGITS):
        raise SourceError(
            f"{source.origin} gives {stated} ({why}), and its configuration says multi_label_classification: which of "
            "both its training did is not certain"
        )
    return stated, why


def _sums(source: Source, signature: Signature, last: str = "") -> Scores:
    """The sum of each image's scores, or of the numbers of which they are the logarithms."""
    scores = source.score(probes(signature), signature)
    return np.asarray((np.exp(scores) if last == "log_softmax" else scores).sum(axis=1))


def _sum_to_one(source: Source, signature: Signature) -> bool:
    scores = source.score(probes(signature), signature)
    return bool(scores.min() >= 0 and np.abs(scores.sum(axis=1) - 1).max() <= _SUM_SLACK)
