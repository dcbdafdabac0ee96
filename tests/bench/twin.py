"""The local twin beside Google's emulator: start, messages a second, delays, and memory over many messages.

The two take turns within each repetition, so that whatever else the machine does hits both.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import Any

from rich.table import Table

from tests.bench.brokers import OURS, backends, broker, seconds_to_ready, seconds_to_up
from tests.bench.flood import flood
from tests.bench.parts import pss_mb
from tests.bench.traffic import Traffic

_LOADS = ((1_000, 20_000, 10_000, 100.0), (100_000, 800, 400, 50.0), (1_000_000, 100, 60, 10.0))
"""Bytes of a message; messages through the generated clients and through the stock client's threads, in closed loops;
messages a second for the delays, of which there are 200."""

_DELAYS = 200
_FIGURES = {"per s": "per_s", "per s, stock client's threads": "client_per_s", "p50, ms": "p50_ms", "p99, ms": "p99_ms"}
_MANY = 1_000_000
_STALLS = 5
"""Of Google's emulator, at most, before it is given up."""


def twin(runs: int, *, million: bool) -> list[dict[str, Any]]:
    """Rows of medians over `runs` repetitions; `million` adds the server's memory over a million messages."""
    rows = _starts(runs) + _loads(runs)
    return [*rows, _memory()] if million else rows


def _starts(runs: int) -> list[dict[str, Any]]:
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for what, seconds_to in (("server alone", seconds_to_ready), ("up without a worker", seconds_to_up)):
            for backend in backends():
                taken.setdefault((what, backend), []).append(seconds_to(backend))
    return [
        {"what": "twin ready", "part": what, "backend": backend, "seconds": seconds, "median_s": median(seconds)}
        for (what, backend), seconds in taken.items()
    ]


def _loads(runs: int) -> list[dict[str, Any]]:
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    with ExitStack() as ending:
        servers = {backend: ending.enter_context(_Server(backend)) for backend in backends()}
        for size, raw, count, per_s in _LOADS:
            for _ in range(runs):
                for backend, server in servers.items():
                    new: dict[str, Any] = {"what": "twin load", "backend": backend, "bytes": size}
                    new |= {"rates": [], "client_rates": [], "p50s": [], "p99s": [], "stalls": 0}
                    row = rows.setdefault((size, backend), new)
                    rate, client_rate, delays = _turn(server, size, raw, count, per_s, row)
                    row["rates"].append(rate)
                    row["client_rates"].append(client_rate)
                    row["p50s"].append(median(delays))
                    row["p99s"].append(delays[len(delays) * 99 // 100])
    for row in rows.values():
        row |= {"per_s": median(row["rates"]), "client_per_s": median(row["client_rates"])}
        row |= {"p50_ms": median(row["p50s"]), "p99_ms": median(row["p99s"])}
    return list(rows.values())


class _Server(ExitStack):
    """A server of one backend, which can be had anew."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self._backend = backend
        self.renew()

    def renew(self) -> None:
        """Another server in place of this one."""
        self.close()
        self.host = self.enter_context(broker(self._backend))[0]


def _turn(
    server: _Server, size: int, raw: int, count: int, per_s: float, row: dict[str, Any]
) -> tuple[float, float, list[float]]:
    """Messages a second through both clients, and the delays.

    With large messages Google's emulator now and then stops delivering for good: that is counted, and the turn is
    taken again on a new one. Our server may not.
    """
    while True:
        try:
            rate = flood(server.host, size, raw)
            with Traffic(server.host, size) as traffic:
                return rate, traffic.rate(count), traffic.delays_ms(_DELAYS, per_s)
        except TimeoutError:
            row["stalls"] += 1
            if row["backend"] == OURS or row["stalls"] > _STALLS:
                raise
            server.renew()


def _memory() -> dict[str, Any]:
    """PSS of our server at the start and after each 100,000 messages of 1 KB; its slope leaves the first tenth out."""
    samples = []
    with broker(OURS) as (host, pid):
        samples.append(pss_mb(pid))
        per_s = flood(host, 1_000, _MANY, mark=lambda: samples.append(pss_mb(pid)))
    settled = samples[1:]
    return {
        "what": "twin memory",
        "messages": _MANY,
        "per_s": per_s,
        "pss_mb": samples,
        "slope_mb_per_million": (settled[-1] - settled[0]) / (len(settled) - 1) * 10,
    }


def tables(rows: list[dict[str, Any]]) -> list[Table]:
    """What was measured, for people; each row's last figure is Google's emulator's over ours, or the reverse."""
    both = backends()
    ready = Table("ready, s", *both, "ratio", title="The local twin: process start to first publish answered")
    for part in dict.fromkeys(row["part"] for row in rows if row["what"] == "twin ready"):
        found = {row["backend"]: row["median_s"] for row in rows if row.get("part") == part}
        ready.add_row(
            part, *(f"{found[backend]:.2f}" for backend in both), _ratio([found[each] for each in both[::-1]])
        )
    load = Table("message", "", *both, "ratio", title="The local twin: messages from publish to acknowledgement")
    for size in dict.fromkeys(row["bytes"] for row in rows if row["what"] == "twin load"):
        found = {row["backend"]: row for row in rows if row.get("bytes") == size}
        for name, key in _FIGURES.items():
            values = [found[backend][key] for backend in both]
            better_first = values if key.endswith("per_s") else values[::-1]
            load.add_row(f"{size // 1000} KB", name, *(f"{value:,.1f}" for value in values), _ratio(better_first))
        if any(row["stalls"] for row in found.values()):
            load.add_row(f"{size // 1000} KB", "turns that stalled", *(str(found[each]["stalls"]) for each in both), "")
    made = [ready, load]
    for row in rows:
        if row["what"] == "twin memory":
            memory = Table("messages of 1 KB", "per s", "PSS first, MB", "last, MB", "slope, MB a million")
            cells = (row["per_s"], row["pss_mb"][0], row["pss_mb"][-1], row["slope_mb_per_million"])
            memory.add_row(f"{row['messages']:,}", *(f"{cell:,.1f}" for cell in cells))
            made.append(memory)
    return made


def _ratio(values: list[float]) -> str:
    return f"{values[0] / values[-1]:.1f}x" if len(values) > 1 else "Google's emulator is not installed"
