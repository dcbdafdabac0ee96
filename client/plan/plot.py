"""Draws a burst as a PNG file. Needs matplotlib, which `make setup` installs and the client alone does not."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from pathlib import Path

from client.gcp import UsageError
from client.plan.planner import Plan


def draw(plans: Sequence[Plan], path: Path) -> None:
    """Draw backlog, latency and instances until they settle: 900 x 700 pixels. Raises UsageError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "--plot needs matplotlib, which is not installed: make setup, or pip install matplotlib"
        ) from None
    figure = Figure(figsize=(9, 7), dpi=100, layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    end = max(plan.option.run.settled_s for plan in plans)
    for plan in plans:
        moments = [moment for moment in plan.option.run.moments if moment.at_s <= end]
        at = [moment.at_s for moment in moments]
        curves = {
            "images waiting": [moment.waiting for moment in moments],
            "latency, s": [moment.latency_s or nan for moment in moments],  # nan leaves a gap where nothing is answered
            "instances": [moment.ready for moment in moments],
        }
        for panel, (title, values) in zip(panels, curves.items(), strict=True):
            panel.plot(at, values, label=f"{plan.worker.title} ({plan.option.size.delivery})")
            panel.set_title(title, loc="left")
    for panel in panels:
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend()
    panels[-1].set_xlabel("seconds since the first image")
    figure.savefig(path, format="png")
