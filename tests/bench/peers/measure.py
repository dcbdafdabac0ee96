"""Measures all peers with all models in turns, so that other load on the machine affects all alike."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from infra.local.child import ChildFailed
from model.artifact.load import ENGINES
from tests.bench.peers.catalog import Peer
from tests.bench.peers.environments import Environment, apparent_mb
from tests.bench.peers.turn import Case, turn


def measure(
    peers: Sequence[Peer],
    environments: Mapping[str, Environment],
    cases: Mapping[str, Case],
    runs: int,
    seconds: float,
) -> tuple[dict[tuple[str, str, str], list[float]], set[tuple[str, str]]]:
    """Figures of all runs by model, peer and name; and which peer failed with which model, its figures left out."""
    taken: dict[tuple[str, str, str], list[float]] = {}
    failed: set[tuple[str, str]] = set()
    for model, case in cases.items():
        for run in range(1, runs + 1):
            for peer in peers:
                if (model, peer.name) in failed:
                    continue
                try:
                    figures = turn(peer, environments[peer.environment], case, seconds)
                except (ChildFailed, OSError, TimeoutError) as exc:
                    print(f"{peer.name} is left out with {model}: {exc}", file=sys.stderr)
                    failed.add((model, peer.name))
                    continue
                for name, value in figures.items():
                    taken.setdefault((model, peer.name, name), []).append(value)
                said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
                print(f"run {run} of {runs}, {model}, {peer.name}: {said}", file=sys.stderr)
        for peer in peers:
            served = case.artifact / ENGINES[peer.engine].path
            size = environments[peer.environment].installed_mb() + apparent_mb(served)
            taken[model, peer.name, "installed"] = [size]
    kept = {key: values for key, values in taken.items() if key[:2] not in failed}
    return kept, failed
