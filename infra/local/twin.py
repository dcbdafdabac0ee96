"""The twin: starts and stops a Pub/Sub server, a Storage server, the topology and the worker together.

On Kafka, it also has a broker with the topics, from which the worker gets its requests. Notifications of buckets remain
messages of Pub/Sub.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

from infra.local import runs
from infra.local import worker as workers
from infra.local.child import Child
from infra.local.fault_plan import FaultPlan, FaultPlanError
from infra.local.kafka import KafkaBroker
from infra.local.models import make_ready_for
from infra.local.ports import LOOPBACK, free_port, listens, reachable
from infra.local.pubsub.token import JWKS_PATH
from infra.local.topology import Topology

if TYPE_CHECKING:
    from infra.local.storage.server import StorageServer

Backend = Literal["embedded", "google"]
Delivery = Literal["push", "pull"]
Broker = Literal["pubsub", "kafka"]

_COMPARISONS = "compare_predict"


REGISTRY = "gs://models/registry"
"""Where the twin's training worker pushes versions, unless the variable REGISTRY names another place."""


class PubsubBackend(Protocol):
    """A Pub/Sub server that can be started and stopped."""

    @property
    def host(self) -> str: ...
    def start(self) -> None: ...
    def push(self) -> None: ...
    def stop(self) -> None: ...


class Twin:
    """Everything in a topology on `host`, an IPv4 address; a context manager. A port 0 takes a free one.

    `worker`: None leaves it out; its subscriptions then wait to be pulled. `worker_env` is added to its environment.
    `broker`: what carries requests; from Kafka the worker gets them in one way only. The variable KAFKA_BOOTSTRAP names
    a cluster that is used instead of a broker of the twin.
    `registry` and `models` (NAME[@ALIAS],...): what the worker serves instead of an artifact; the shipped model is
    pushed where it has no version. The registry may be in a bucket of the twin.
    `retrain`: where requests of a training worker find images, gs://bucket/prefix or a folder; "" leaves it out.
    `signing_keys`: the folder of public keys by which Storage checks signed URLs.
    `data_dir`: the folder that keeps messages and objects across restarts, even with another topology or address.
    Raises ChildFailed when a process does not start, OSError when a port is taken, NoEmulator for a missing backend,
    NoKafka, KafkaConfigError or BrokerUnreachable for Kafka, RegistryError for a missing alias.
    """

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        pubsub: Backend = "embedded",
        worker: Delivery | None = "push",
        broker: Broker = "pubsub",
        project: str = "local",
        host: str = LOOPBACK,
        pubsub_port: int = 0,
        storage_port: int = 0,
        worker_port: int = 0,
        worker_env: Mapping[str, str] | None = None,
        registry: str = "",
        models: str = "",
        log_path: Path | None = None,
        fault_plan: FaultPlan | None = None,
        data_dir: Path | None = None,
        retrain: str = "",
        signing_keys: Path | None = None,
    ) -> None:
        self.topology = topology or Topology.read()
        self.project = project
        self._signing_keys = signing_keys
        self.log_path = log_path or runs.own_folder() / "worker.log"
        self._host, self._at = host, reachable(host)
        if fault_plan and pubsub == "google":
            raise FaultPlanError(
                "a fault plan needs the embedded Pub/Sub server; Google's emulator does not support it"
            )
        if data_dir and pubsub == "google":
            raise OSError("a data folder needs the embedded Pub/Sub server; Google's emulator does not support it")
        self._fault_plan, self._data_dir = fault_plan, data_dir
        self._backend = pubsub
        self._delivery = "kafka" if worker and broker == "kafka" else worker
        given = os.environ.get("KAFKA_BOOTSTRAP", "")
        data = (data_dir or self.log_path.parent) / "kafka"
        self._kafka = KafkaBroker(data, given) if broker == "kafka" else None
        self._pubsub_port = pubsub_port or free_port(host)
        self._storage_port = storage_port or free_port(host)
        self._worker_port = worker_port or free_port(host)
        self._served = bool(registry)
        self._worker_env = {**({"REGISTRY": registry, "MODELS": models} if registry else {}), **(worker_env or {})}
        self._pubsub: PubsubBackend | None = None
        self._storage: StorageServer | None = None
        self._worker: Child | None = None
        self._retrain = retrain
        self._trainer: Child | None = None

    @property
    def training_log_path(self) -> Path:
        """The output of the training worker."""
        return self.log_path.with_name("training.log")

    @property
    def pubsub_host(self) -> str:
        """`address:port` of the Pub/Sub server."""
        return f"{self._at}:{self._pubsub_port}"

    @property
    def storage_url(self) -> str:
        """`http://address:port` of the Storage server."""
        return f"http://{self._at}:{self._storage_port}"

    @property
    def jwks_url(self) -> str | None:
        """The URL of the public key of push tokens; None for Google's emulator, which signs none."""
        return f"http://{self.pubsub_host}{JWKS_PATH}" if self._backend == "embedded" else None

    @property
    def worker_url(self) -> str | None:
        """`http://address:port` of the worker; None when it does not listen."""
        return f"http://{self._at}:{self._worker_port}" if self._delivery == "push" else None

    @property
    def storage(self) -> StorageServer:
        """The Storage server, for tests that make it fail. Available only while the twin runs."""
        if self._storage is None:
            raise RuntimeError("the twin is not running")
        return self._storage

    @property
    def env(self) -> dict[str, str]:
        """The environment with which Google's clients and this project's use the twin."""
        buckets = {bucket.name for bucket in self.topology.buckets}
        named = {"UPLOAD_BUCKET": "uploads", "PAYLOAD_BUCKET": "payloads"}
        return {
            "PUBSUB_EMULATOR_HOST": self.pubsub_host,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{self.pubsub_host}/",
            "STORAGE_EMULATOR_HOST": self.storage_url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.storage_url}/storage/v1/",
            "GOOGLE_CLOUD_PROJECT": self.project,
            **{variable: name for variable, name in named.items() if name in buckets},
            "ALLOWED_BUCKETS": ",".join(sorted(buckets)),
            "HTTP_ENDPOINT": "on",
            **({"WORKER_URL": self.worker_url} if self.worker_url else {}),
            **({"OIDC_JWKS_URL": self.jwks_url} if self.jwks_url else {}),
            **(self._kafka.env if self._kafka else {}),
            **self._models,
        }

    @property
    def _models(self) -> dict[str, str]:
        """The models of a registry that the worker serves, and the topic of its shadows; nothing for an artifact."""
        given = {name: self._worker_env[name] for name in ("REGISTRY", "MODELS") if self._worker_env.get(name)}
        has_topic = any(topic.name == _COMPARISONS for topic in self.topology.topics)
        return {**given, "COMPARISON_TOPIC": _COMPARISONS} if given and has_topic else given

    def start(self) -> None:
        """Start everything and wait until the worker is ready. An exception stops what was started."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, the workers first."""
        worker, storage, pubsub, trainer = self._worker, self._storage, self._pubsub, self._trainer
        kafka = self._kafka
        self._worker = self._storage = self._pubsub = self._trainer = None
        with ExitStack() as stack:  # each is stopped even when stopping another fails
            for part in (kafka, pubsub, storage, worker, trainer):
                if part:
                    stack.callback(part.stop)

    def check(self) -> None:
        """Raise ChildFailed when a worker or the Kafka broker has ended."""
        for child in (self._worker, self._trainer, self._kafka):
            if child:
                child.check()

    def __enter__(self) -> Twin:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        env = {**self.env, **self._worker_env}
        if self._kafka:
            self._start_kafka(self._kafka)
        if self._delivery == "push" and listens(self._worker_port, self._at):
            raise OSError(f"the worker cannot listen on {self.worker_url}; the port is taken")
        in_bucket = self._worker_env.get("REGISTRY", "").startswith("gs://")
        if not in_bucket:
            # First, because it loads the model while this process imports Google's clients.
            self._prepare_worker(env)
        self._pubsub = self._make_pubsub()
        self._pubsub.start()
        from infra.local.admin import create  # imported while the worker loads its model

        create(self.topology, self.pubsub_host, self.project, push_to=self.worker_url)
        if self._backend == "embedded":  # Google's emulator has no policies
            from infra.local.grants import grant

            grant(self.topology, self.pubsub_host, self.project)
        self._storage = self._make_storage()
        self._storage.start()
        if in_bucket:
            self._prepare_worker(env)
        if self._delivery == "kafka":
            from infra.local.kafka_topics import attempts

            self._worker = workers.start_kafka(attempts(self.topology) | env, self.log_path)
            workers.wait_pull(self._worker)
        elif self._delivery == "pull":
            self._worker = workers.start_pull(env, self.log_path)
            workers.wait_pull(self._worker)
        elif self._worker:
            workers.wait_push(self._worker, self._worker_port, host=self._at)
        if self._retrain:
            place = {"REGISTRY": os.environ.get("REGISTRY", REGISTRY)} | env | {"TRAIN_DATA": self._retrain}
            self._trainer = workers.start_training(place, self.training_log_path)
            workers.wait_pull(self._trainer)
        self._pubsub.push()  # only now, because a worker that is not ready would nack messages of an earlier run

    def _prepare_worker(self, env: Mapping[str, str]) -> None:
        """Make the models ready that the worker is to serve, and start a push worker."""
        if self._served:
            make_ready_for(env)
        if self._delivery == "push":
            self._worker = workers.start_push(self._worker_port, env, self.log_path, self._host)

    def _start_kafka(self, broker: KafkaBroker) -> None:
        from infra.local.kafka_topics import connection_of, create, kafka_topics

        connection = connection_of(broker.bootstrap)  # first, as it says what is not installed
        broker.start()
        create(connection, kafka_topics(self.topology))

    def _make_pubsub(self) -> PubsubBackend:
        if self._backend == "google":
            from infra.local.google import GoogleEmulator

            return GoogleEmulator(self._pubsub_port, host=self._host, log=self.log_path.with_name("pubsub.log"))
        from infra.local.pubsub.server import PubsubServer

        return PubsubServer(
            self._pubsub_port, host=self._host, fault_plan=self._fault_plan, data_dir=self._data_dir, hold_pushes=True
        )

    def _make_storage(self) -> StorageServer:
        from infra.local.storage.notify import Notifier, watches
        from infra.local.storage.server import StorageServer

        notifier = Notifier(self.pubsub_host, watches(self.topology.notifications, self.project))
        names = [bucket.name for bucket in self.topology.buckets]
        return StorageServer(
            self._storage_port,
            host=self._host,
            names=names,
            project=self.project,
            notifier=notifier,
            fault_plan=self._fault_plan,
            data_dir=self._data_dir,
            signing_keys=self._signing_keys,
        )
