"""A burst as a picture, for which matplotlib is needed; it comes with `make setup`, not with the client alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from client.cloud import UsageError
from client.plan.choice import Plan


def draw(plans: Sequence[Plan], path: Path) -> None:
    """Backlog, latency and instances over time, a PNG of 900 x 700 pixels. Raises UsageError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "--plot needs matplotlib, which is not installed: make setup, or pip install matplotlib"
        ) from None
    figure = Figure(figsize=(9, 7), dpi=100, layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    for panel, title, name in zip(
        panels, ("images waiting", "latency, s", "instances"), ("waiting", "latency_s", "ready"), strict=True
    ):
        for plan in plans:
            moments = plan.way.run.moments
            label = f"{plan.worker.title} ({plan.way.size.door})"
            panel.plot([m.at_s for m in moments], [getattr(m, name) for m in moments], label=label)
        panel.set_title(title, loc="left")
        panel.grid(alpha=0.3)
    panels[0].legend()
    panels[-1].set_xlabel("seconds since the first image")
    figure.savefig(path, format="png")
