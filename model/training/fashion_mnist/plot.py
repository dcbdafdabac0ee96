"""Draws history.png: loss and accuracy of training and validation, the learning rate, and the seconds per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure


def draw(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Draw the rows of a history.csv to a PNG file of 900 x 600 pixels.

    The row of the averaged network, which has no epoch, becomes a dotted line at its validation metrics.
    """
    means = [row for row in rows if not row["epoch"].isdecimal()]
    rows = [row for row in rows if row["epoch"].isdecimal()]
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(9, 6), dpi=100, layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    curves = (
        (panels[0, 0], "loss", {"training": "loss", "validation": "val_loss"}),
        (panels[0, 1], "accuracy", {"training": "accuracy", "validation": "val_accuracy"}),
        (panels[1, 0], "learning rate", {"": "rate"}),
        (panels[1, 1], "seconds per epoch", {"": "seconds"}),
    )
    for panel, title, columns in curves:
        for label, column in columns.items():
            panel.plot(epochs, [float(row[column]) for row in rows], marker=".", markersize=4, label=label)
        for mean in means if len(columns) > 1 else []:
            panel.axhline(float(mean[columns["validation"]]), color="black", linestyle=":", label="average")
        panel.set_title(title)
        panel.grid(alpha=0.3)
        if len(columns) > 1:
            panel.legend()
    for panel in panels[1]:
        panel.set_xlabel("epoch")
    figure.savefig(path, format="png")
