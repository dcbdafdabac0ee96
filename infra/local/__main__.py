"""The twin's command line: `python -m infra.local up` starts everything; `pubsub` or `storage` start one server."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from client.loopback import has_proxy, without_proxy
from functions.runtime.memory_tuning import release_large_blocks
from infra.local import arguments, runs
from infra.local.child import ChildFailed
from infra.local.command_line import parser
from infra.local.fault_plan import FaultPlan, FaultPlanError
from infra.local.google import NoEmulator
from infra.local.kafka import NoKafka
from infra.local.page import Page
from infra.local.ports import is_loopback
from infra.local.topology import Topology, TopologyError
from infra.local.twin import Twin
from model.artifact import SHIPPED
from model.errors import RegistryError

# Allocated objects between two garbage collections. Few objects become garbage, and retained messages are many.
_COLLECT_EVERY = 10_000

_FAILURES = (ChildFailed, NoEmulator, NoKafka, TopologyError, FaultPlanError, RegistryError, OSError)


def main(argv: Sequence[str] | None = None, *, program: str = "python -m infra.local") -> int:
    """Run the command line. Returns 0 after a requested stop, 1 after a failure, 2 for invalid arguments."""
    began = time.monotonic()
    options = parser(program).parse_args(argv)
    _obey_signals()
    try:
        return int(_RUN[options.command](options, began))
    except KeyboardInterrupt:
        return 0
    except _failures() as exc:
        _say(f"error: {exc}")
        return 1


def _failures() -> tuple[type[Exception], ...]:
    """Errors that end a command. Those of Kafka are imported after a failure: a start without it needs no client."""
    from functions.kafka.cluster_check import BrokerUnreachable
    from functions.kafka.connection import KafkaConfigError

    return (*_FAILURES, KafkaConfigError, BrokerUnreachable)


def _up(options: argparse.Namespace, began: float) -> int:
    if options.env is not None:
        return _print_env(options.env)
    if options.pretrained:
        if options.registry or options.models:
            _say("error: --pretrained is given with --registry or --models; give it alone, or these without it")
            return 2
        from infra.local import pretrained  # imported here, because it loads numpy

        options.registry, options.models = str(pretrained.REGISTRY), pretrained.MODELS
        pretrained.import_all(options.pretrained, options.registry)
    on_kafka = options.broker == "kafka"
    if on_kafka and (options.worker in ("push", "pull") or options.pubsub == "google" or options.fault_plan):
        _say("error: --broker kafka is given with --worker push or pull, --pubsub google or --fault-plan; leave it out")
        return 2
    if bool(options.registry) != bool(options.models):
        given, absent = ("--registry", "--models") if options.registry else ("--models", "--registry")
        _say(f"error: {given} is given and {absent} is not; give both, or neither to serve an artifact")
        return 2
    twin = Twin(
        Topology.read(options.topology),
        pubsub=options.pubsub,
        worker=None if options.worker == "none" else options.worker or "push",
        broker=options.broker,
        project=options.project,
        host=options.host,
        pubsub_port=options.pubsub_port,
        storage_port=options.storage_port,
        worker_port=options.worker_port,
        log_path=options.log and options.log.absolute(),
        fault_plan=_fault_plan(options),
        data_dir=options.data_dir,
        registry=arguments.absolute(options.registry),
        models=options.models,
        retrain=options.retrain,
        signing_keys=options.signing_keys,
    )
    release_large_blocks()  # smaller blocks are kept: for messages of 100 KB, pages would be cleared again and again
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(_page(options, twin))  # first, as both start at the same time
        stack.enter_context(twin)
        stack.enter_context(runs.written(twin.env))
        if page:
            stack.enter_context(page.ready())
        _describe(options, twin, page)
        _say(f"ready in {time.monotonic() - began:.1f} s. Ctrl-C stops it. In another terminal:")
        _say(f'  eval "$({_short(Path(sys.executable))} -m infra.local up --env)"')
        _wait(twin.check, page.check if page else lambda: None)


def _describe(options: argparse.Namespace, twin: Twin, page: Page | None) -> None:
    """Say where everything is."""
    if options.broker == "kafka":
        _say(f"kafka    {twin.env['PREDICTIONS_BROKER']}")
    _say(f"pubsub   {twin.pubsub_host}  ({options.pubsub}; REST and gcloud: http://{twin.pubsub_host}/)")
    _say(f"storage  {twin.storage_url}  (signed URLs {_checked(options.signing_keys)})")
    if options.worker != "none":
        how = "consumes Kafka's topics" if options.broker == "kafka" else twin.worker_url or "pulls"
        _say(f"worker   {how}  (output in {_short(twin.log_path)})")
    if options.registry:
        _say(f"models   {options.models} of {options.registry}")
    if options.retrain:
        _say(f"training on images below {options.retrain}  (output in {_short(twin.training_log_path)})")
    if page:
        _say(f"page     {page.url}")
    if twin.jwks_url:
        _say(f"keys     {twin.jwks_url}  (public keys of push tokens)")
    _warn(options.host)


def _page(options: argparse.Namespace, twin: Twin) -> contextlib.AbstractContextManager[Page | None]:
    if options.no_page or options.broker == "kafka":  # the page sends to Pub/Sub
        return contextlib.nullcontext()
    served = {} if options.registry else {"ARTIFACT": os.environ.get("ARTIFACT") or str(SHIPPED)}
    return Page(served | twin.env, twin.log_path.with_name("page.log"), options.host, options.page_port)


def _pubsub(options: argparse.Namespace, _: float) -> NoReturn:
    from infra.local.pubsub.server import PubsubServer

    release_large_blocks()
    with PubsubServer(
        options.port, host=options.host, fault_plan=_fault_plan(options), data_dir=options.data_dir
    ) as server:
        _warn(options.host)
        _say(f"pubsub   {server.host}  (REST and gcloud: http://{server.host}/)")
        _wait()


def _storage(options: argparse.Namespace, _: float) -> NoReturn:
    from infra.local.storage.notify import Notifier
    from infra.local.storage.server import StorageServer

    buckets = [bucket.name for bucket in Topology.read().buckets]
    pubsub = os.environ.get("PUBSUB_EMULATOR_HOST")
    notifier = Notifier(pubsub, ()) if pubsub else None
    with StorageServer(
        options.port,
        host=options.host,
        names=buckets,
        notifier=notifier,
        fault_plan=_fault_plan(options),
        data_dir=options.data_dir,
        signing_keys=options.signing_keys,
    ) as server:
        _warn(options.host)
        events = f"notifies {pubsub}" if pubsub else "no notifications without PUBSUB_EMULATOR_HOST"
        _say(f"storage  {server.url}  (buckets {', '.join(buckets)}; {events})")
        _say(f"signed URLs {_checked(options.signing_keys)}")
        _wait()


def _checked(signing_keys: Path | None) -> str:
    """Whether signed URLs are checked, in words."""
    return f"are checked with the keys in {_short(signing_keys)}" if signing_keys else "are not checked"


def _fault_plan(options: argparse.Namespace) -> FaultPlan | None:
    return FaultPlan.parse(options.fault_plan) if options.fault_plan else None


def _wait(*checks: Callable[[], None]) -> NoReturn:
    """Wait for a signal, which raises KeyboardInterrupt. `checks` are called regularly and may raise."""
    gc.freeze()  # the objects of the start are never garbage
    gc.set_threshold(_COLLECT_EVERY)
    while True:
        time.sleep(0.5)  # signal.pause() would miss a signal that arrives just before it
        for check in checks:
            check()


def _obey_signals() -> None:
    """Make the first SIGINT, SIGTERM or SIGHUP stop everything, like Ctrl-C, and ignore later ones."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in numbers:
        signal.signal(each, stop)


def _print_env(pid: int) -> int:
    twins = runs.living()
    if not twins or (pid and pid not in twins):
        wanted = f"no twin of process {pid} is running" if pid else "no twin is running"
        _say(f"error: {wanted}{_others(twins)}; start one with: python -m infra.local up")
        return 1
    chosen = pid or list(twins)[-1]
    if not pid and len(twins) > 1:
        _say(f"note: this is the newest of {len(twins)} twins, {chosen}; --env PID chooses{_others(twins)}")
    print(twins[chosen], end="")
    if has_proxy(os.environ):
        print(*(f"export {name}={shlex.quote(value)}" for name, value in without_proxy(os.environ).items()), sep="\n")
    return 0


def _others(twins: Collection[int]) -> str:
    return f" (running: {', '.join(map(str, twins))})" if twins else ""


def _warn(host: str) -> None:
    """Warn about open access when the server listens on more than the loopback address."""
    if not is_loopback(host):
        _say(
            f"WARNING: it listens on {host}, which other machines may reach, and checks neither credentials nor Host "
            "names: anyone who reaches these ports can read and change everything"
        )


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_RUN: dict[str, Callable[[argparse.Namespace, float], int]] = {"up": _up, "pubsub": _pubsub, "storage": _storage}

if __name__ == "__main__":
    sys.exit(main())
