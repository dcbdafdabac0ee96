"""The local twin compared with Google's emulator: start, messages a second, delays, and memory over many messages.

The two take turns within each repetition, so that whatever else the machine does hits both.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from tests.bench.brokers import OURS, backends, broker, seconds_to_ready, seconds_to_up
from tests.bench.flood import flood
from tests.bench.parts import pss_mb
from tests.bench.rows import Row, row
from tests.bench.traffic import Traffic

_LOADS = ((1_000, 20_000, 10_000, 100.0), (100_000, 800, 400, 50.0), (1_000_000, 100, 60, 10.0))
"""Bytes of a message; messages through the generated clients and through the stock client's threads, in closed loops;
messages a second for the delays, of which there are 200."""

_DELAYS = 200
_MANY = 1_000_000
_STALLED = "turns"
_STALLS = 5
"""Limits the stalls of Google's emulator before the measurement is abandoned."""


def twin(runs: int, *, million: bool) -> list[Row]:
    """Rows over `runs` repetitions; `million` adds the server's memory over a million messages."""
    rows = _starts(runs) + _loads(runs)
    return [*rows, *_memory()] if million else rows


def _starts(runs: int) -> list[Row]:
    taken: dict[str, list[float]] = {}
    for _ in range(runs):
        for what, seconds_to in (("server alone", seconds_to_ready), ("up without a worker", seconds_to_up)):
            for backend in backends():
                taken.setdefault(f"twin.ready.{what}.{backend}", []).append(seconds_to(backend))
    return [row(name, seconds, "s") for name, seconds in taken.items()]


def _loads(runs: int) -> list[Row]:
    taken: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as ending:
        servers = {backend: ending.enter_context(_Server(backend)) for backend in backends()}
        for size, raw, count, per_s in _LOADS:
            for _ in range(runs):
                for backend, server in servers.items():
                    rate, client_rate, delays, stalls = _turn(server, size, raw, count, per_s)
                    for what, unit, value in (
                        ("rate", "messages/s", rate),
                        ("rate with the stock client's threads", "messages/s", client_rate),
                        ("delay, p50", "ms", median(delays)),
                        ("delay, p99", "ms", delays[len(delays) * 99 // 100]),
                        ("stalls in all runs", _STALLED, stalls),
                    ):
                        taken.setdefault((f"twin.{size // 1000} KB.{what}.{backend}", unit), []).append(value)
    return [row(name, [sum(values)] if unit == _STALLED else values, unit) for (name, unit), values in taken.items()]


class _Server(ExitStack):
    """A server of one backend, which can be restarted."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend
        self.renew()

    def renew(self) -> None:
        """Replace the server by a fresh one."""
        self.close()
        self.host = self.enter_context(broker(self.backend))[0]


def _turn(server: _Server, size: int, raw: int, count: int, per_s: float) -> tuple[float, float, list[float], int]:
    """Messages a second through both clients, the delays, and how often it had to be taken again.

    With large messages Google's emulator now and then stops delivering for good: that is counted, and the turn is
    taken again on a new one. Our server may not.
    """
    stalls = 0
    while True:
        try:
            rate = flood(server.host, size, raw)
            with Traffic(server.host, size) as traffic:
                return rate, traffic.rate(count), traffic.delays_ms(_DELAYS, per_s), stalls
        except TimeoutError:
            stalls += 1
            if server.backend == OURS or stalls > _STALLS:
                raise
            server.renew()


def _memory() -> list[Row]:
    """PSS of our server at the start and after each 100,000 messages of 1 KB; its slope leaves the first tenth out."""
    samples = []
    with broker(OURS) as (host, pid):
        samples.append(pss_mb(pid))
        per_s = flood(host, 1_000, _MANY, mark=lambda: samples.append(pss_mb(pid)))
    first, settled, last = samples[0], samples[1], samples[-1]
    slope = (last - settled) / (len(samples) - 2) * 10
    name = f"twin.{_MANY:,} messages of 1 KB"
    return [
        row(f"{name}.rate.{OURS}", [per_s], "messages/s"),
        row(f"{name}.PSS before.{OURS}", [first], "MB"),
        row(f"{name}.PSS after.{OURS}", [last], "MB"),
        row(f"{name}.slope.{OURS}", [slope], "MB a million"),
    ]
