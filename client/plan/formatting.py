"""Numbers as text for people."""

from __future__ import annotations


def seconds(value: float) -> str:
    """Format a latency: 0.25 s, 4.1 s, 75 s."""
    return f"{value:.2g} s" if value < 10 else f"{value:,.0f} s"


def period(value: float) -> str:
    """Format seconds as a period: 42 s, 20 min, 8 h."""
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"


def rate(value: float) -> str:
    """Format a rate: 0.5, 34.7, 1,200."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def file_size(value: int) -> str:
    """Format bytes: 700 B, 100 kB, 2.5 MB."""
    for unit, least in (("MB", 1_000_000), ("kB", 1_000)):
        if value >= least:
            return f"{value / least:.3g} {unit}"
    return f"{value} B"


def memory(mib: int) -> str:
    """Format MiB as Cloud Run and infra/ do: 512Mi, 2Gi."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def dollars(value: float) -> str:
    """Format an amount with cents, and never as -0.00."""
    return f"{round(value, 2) + 0:,.2f}"
