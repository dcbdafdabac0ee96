"""Charts as inline SVG. Colours are the page's CSS variables, so that they follow light, dark and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_ROW, _LABEL, _WIDTH, _NUMBER = 24, 170, 720, 130
"""Pixels: height of a row, width of the names, of the chart, and of the numbers at the right."""

_MAX_NAME = 24
"""Characters of a name in a chart; its title has all."""


def bars(values: Mapping[str, float], texts: Mapping[str, str], title: str) -> str:
    """Return horizontal bars, one for each name, with a text at the right. `title` is for screen readers."""
    largest = max(values.values(), default=0) or 1
    span = _WIDTH - _LABEL - _NUMBER
    parts = []
    for number, (name, value) in enumerate(values.items()):
        y = number * _ROW
        width = max(1.0, span * value / largest) if value > 0 else 0.0
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y + 16}" text-anchor="end">{_short(name)}<title>{escape(name)}</title></text>'
            f'<rect class="bar" x="{_LABEL}" y="{y + 4}" width="{width:.1f}" height="16" rx="2"/>'
            f'<text x="{_LABEL + width + 6:.1f}" y="{y + 16}">{escape(texts[name])}</text>'
        )
    return _svg(len(values) * _ROW + 2, title, "".join(parts))


def lines(dates: Sequence[str], series: Mapping[str, Sequence[float | None]], title: str) -> str:
    """Return a line for each name over the dates; values are shares from 0 to 1, None leaves a gap."""
    height, left, right, top = 240, 46, 150, 10
    low = max(0.0, min((v for values in series.values() for v in values if v is not None), default=0.0) - 0.05)
    step = (_WIDTH - left - right) / max(1, len(dates) - 1)
    parts = []
    for tick in range(5):
        value = low + (1 - low) * tick / 4
        y = _y(value, low, top, height)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{_WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        )
    for place in sorted({0, len(dates) // 2, len(dates) - 1}):
        anchor = "start" if place == 0 else "end" if place == len(dates) - 1 else "middle"
        x = left + place * step
        parts.append(f'<text x="{x:.1f}" y="{height + 24}" text-anchor="{anchor}">{escape(dates[place])}</text>')
    for number, (name, values) in enumerate(series.items()):
        points = [(left + i * step, _y(v, low, top, height)) for i, v in enumerate(values) if v is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f"s{number % 5}" + (" dashed" if number >= 5 else "")
        parts.append(f'<polyline class="{style}" points="{path}"/>')
        parts += [f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
        y = top + 14 + number * 19
        parts.append(
            f'<line class="{style}" x1="{_WIDTH - right + 14}" x2="{_WIDTH - right + 36}" y1="{y - 4}" y2="{y - 4}"/>'
            f'<text x="{_WIDTH - right + 42}" y="{y}">{_short(name, 14)}</text>'
        )
    return _svg(max(height + 32, top + 20 + 19 * len(series)), title, "".join(parts))


def _y(value: float, low: float, top: int, height: int) -> float:
    return top + (height - top) * (1 - (value - low) / (1 - low or 1))


def _short(name: str, limit: int = _MAX_NAME) -> str:
    return escape(name if len(name) <= limit else name[: limit - 1] + "…")


def _svg(height: int, title: str, body: str) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
