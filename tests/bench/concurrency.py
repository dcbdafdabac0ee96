"""The rate of a push worker by the number of pushes that it answers at the same time (Terraform's `concurrency`).

The worker has one CPU. This client posts the pushes, as a broker chooses their number by itself. In the cloud a publish
takes longer than here, and a push is answered when its response is published: the rates are taken with both times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from infra.local.ports import free_port
from tests.bench.cold import HELD
from tests.bench.delay import DelayingProxy
from tests.bench.parts import as_the_image, cpu_s, environment, process, push_command
from tests.bench.posting import Posting, post_push
from tests.bench.rig import Rig, twin, until_ready
from tests.bench.rows import RATIO, Row, row
from tests.bench.subjects import Subject

AT_ONCE = (8, 16, 32, 80, 160)
PUBLISH_MS = (0, 20, 50)
"""Milliseconds that are added to the time of a publish. 50 is the assumption of client/plan/prices.toml."""


def concurrency(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Images a second, and how much of its CPU the worker used, by model, pushes at once and time of a publish.

    `images`: pushes of a turn with the most at once; with fewer at once, fewer are pushed.
    """
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for subject in subjects:
            for name, (rate, busy) in _turn(subject, images).items():
                taken.setdefault((name.format("rate"), "images/s"), []).append(rate)
                taken.setdefault((name.format("busy"), RATIO), []).append(busy)
    return [row(name, values, unit, cpus=1) for (name, unit), values in taken.items()]


def _turn(subject: Subject, images: int) -> dict[str, tuple[float, float]]:
    """Rate and share of the CPU, by a row's name with a gap for what is measured."""
    found, port = {}, free_port()
    settings = as_the_image() | {"ARTIFACT": str(subject.artifact), "ENGINE": subject.engines[0]}
    with twin() as env, environment(env), DelayingProxy(env["PUBSUB_EMULATOR_HOST"]) as proxy:
        given = env | settings | {"PUBSUB_EMULATOR_HOST": proxy.host}
        with process([*HELD, *push_command(port)], given) as worker:
            until_ready(port)
            for at_once in AT_ONCE:
                files = subject.load(at_once * max(1, images // AT_ONCE[-1]))
                for ms in PUBLISH_MS:
                    proxy.delay_s = ms / 1000
                    name = f"concurrency.{subject.name}.{at_once} at once.{{}}.{ms} ms"
                    found[name] = _measure(worker.pid, port, at_once, files)
    return found


def _measure(pid: int, port: int, at_once: int, files: Sequence[bytes]) -> tuple[float, float]:
    line = Posting(port, at_once, post_push)
    try:
        tested = Rig(pid, line)
        tested.warm(files)
        start, start_cpu = time.perf_counter(), cpu_s(pid)
        seconds = tested.answer(files) - start
        return len(files) / seconds, (cpu_s(pid) - start_cpu) / seconds
    finally:
        line.close()
