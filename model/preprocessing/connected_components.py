"""Connected components of a mask, and its holes. NumPy on runs of pixels; Python joins the few hundred runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def connected_components(mask: Mask) -> npt.NDArray[np.int32]:
    """Label the 4-connected components of a mask [H, W] from 1; 0 is the background."""
    padded = np.pad(mask, ((0, 0), (0, 1)))  # no run continues in the next row
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=False))
    starts, ends = edges[::2], edges[1::2]
    # The runs of the row above that each run touches are consecutive in the list.
    first = np.searchsorted(ends + padded.shape[1], starts, "right")
    counts = np.searchsorted(starts + padded.shape[1], ends, "left") - first
    runs = np.repeat(np.arange(len(starts)), counts)
    above = np.arange(len(runs)) - np.repeat(counts.cumsum() - counts, counts) + np.repeat(first, counts)

    parents = list(range(len(starts)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = run = parents[parents[run]]
        return run

    for one, other in zip(runs.tolist(), above.tolist(), strict=True):
        parents[root(one)] = root(other)
    roots = np.array([root(run) for run in parents], np.int64)
    numbered = np.zeros(padded.shape, np.int32)
    numbered[padded] = np.repeat(np.unique(roots, return_inverse=True)[1] + 1, ends - starts)
    return numbered[:, :-1]


def fill_holes(mask: Mask) -> Mask:
    """The mask together with its holes: background that does not reach the border."""
    outside = np.pad(~mask, 1, constant_values=True)
    labels = connected_components(outside)
    inside: Mask = labels[1:-1, 1:-1] != labels[0, 0]
    return inside
