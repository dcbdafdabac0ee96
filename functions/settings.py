"""The worker's settings, read from the environment and validated. docs/settings.md lists them; a test compares both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ENGINES = ("auto", "litert", "savedmodel", "onnx")
DEVICES = ("auto", "gpu")
_PREFIX = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^\x00-\x1f\x7f]{0,500})?")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
"""The syntax of a bucket's name ("About Cloud Storage buckets", Google Cloud)."""

MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(@[a-z][a-z0-9_-]{0,62})?")
"""The syntax of a model in MODELS: model/registry/names.py has that of its parts."""

RENAMED = {"HTTP_DOOR": "HTTP_ENDPOINT", "LEDGER": "RESPONSE_STORE"}
"""Variables of versions before 1.0.0 and their present names. A worker does not start when an old name is set."""

MAX_BATCH_SIZE = 8
"""The default of the variable MAX_BATCH_SIZE. A smaller PULL_MAX_MESSAGES lowers the default."""

_CACHE = "/tmp/artifacts"  # nosec B108  # files in it are verified
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}:\d{1,5}")
_SHIPPED = Path(__file__).resolve().parents[1] / "model" / "artifacts" / "fashion-mnist"


class SettingsError(ValueError):
    """A variable has a value that is not allowed. The message names the variable, the value and the allowed values."""


def _setting(variable: str, default: Any, allowed: str, ok: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"variable": variable, "allowed": allowed, "ok": ok})


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: bool(low <= value <= high)


def _anything(value: str) -> bool:
    return True


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",")] if value else []


def _address(value: str) -> bool:
    return not value or bool(_ADDRESS.fullmatch(value))


def _is_prefix(value: str) -> bool:
    return not value or bool(_PREFIX.fullmatch(value))


def _are_models(value: str) -> bool:
    return all(MODEL.fullmatch(name) for name in _names(value))


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, one field for each variable. The suffixes of names state the units: _bytes, _s, _ms."""

    project: str = _setting(
        "GOOGLE_CLOUD_PROJECT",
        "",
        "a project id (needed unless the names below are full, or KAFKA_BOOTSTRAP is set)",
        bool,
    )
    response_topic: str = _setting("RESPONSE_TOPIC", "res_predict", "a topic name, or projects/P/topics/T", bool)
    request_subscription: str = _setting(
        "REQUEST_SUBSCRIPTION", "req_predict-sub", "a subscription name, or projects/P/subscriptions/S", bool
    )
    dead_subscription: str = _setting(
        "DEAD_SUBSCRIPTION", "dead_predict-announce", "a subscription name, or projects/P/subscriptions/S", bool
    )
    kafka_bootstrap: str = _setting(
        "KAFKA_BOOTSTRAP", "", "the Kafka brokers of a Kafka worker: host:port, several separated by commas", _anything
    )
    kafka_config: str = _setting(
        "KAFKA_CONFIG",
        "",
        "a file with a property of librdkafka on each line, name=value: TLS, SASL, limits",
        _anything,
    )
    kafka_oauth: str = _setting(
        "KAFKA_OAUTH", "", "google: sign in with Application Default Credentials", lambda value: value in ("", "google")
    )
    kafka_group: str = _setting(
        "KAFKA_GROUP", "consumer", "consumer, or share: a share group", lambda value: value in ("consumer", "share")
    )
    kafka_transactions: str = _setting("KAFKA_TRANSACTIONS", "off", "on or off", lambda value: value in ("on", "off"))
    kafka_max_attempts: int = _setting("KAFKA_MAX_ATTEMPTS", 20, "a whole number from 1 to 1000", _between(1, 1000))
    kafka_min_backoff_s: float = _setting("KAFKA_MIN_BACKOFF_S", 10.0, "seconds from 0.1 to 600", _between(0.1, 600))
    kafka_max_backoff_s: float = _setting(
        "KAFKA_MAX_BACKOFF_S", 600.0, "seconds from 0.1 to 86400", _between(0.1, 86400)
    )
    request_topic: str = _setting("REQUEST_TOPIC", "req_predict", "the request topic of a Kafka worker", bool)
    dead_topic: str = _setting("DEAD_TOPIC", "dead_predict", "the topic of dead letters of a Kafka worker", bool)
    artifact: str = _setting("ARTIFACT", str(_SHIPPED), "a folder, or gs://bucket/prefix", bool)
    artifact_cache: str = _setting("ARTIFACT_CACHE", _CACHE, "a writable folder", bool)
    registry: str = _setting(
        "REGISTRY",
        "",
        "a folder, or gs://bucket/prefix: the registry of the models; empty: ARTIFACT is served",
        _anything,
    )
    models: str = _setting(
        "MODELS",
        "",
        "names of models of the registry, separated by commas, each with @ALIAS unless it is stable; the first is the "
        "default",
        _are_models,
    )
    model_bytes: int = _setting(
        "MODEL_BYTES", 200_000_000, "bytes from 100000 to 64000000000", _between(100_000, 64_000_000_000)
    )
    aliases_max_age_s: float = _setting("ALIASES_MAX_AGE_S", 30.0, "seconds from 1 to 3600", _between(1, 3600))
    comparison_topic: str = _setting(
        "COMPARISON_TOPIC",
        "",
        "a topic name, or projects/P/topics/T, for shadows; empty: shadows do not score",
        _anything,
    )
    engine: str = _setting("ENGINE", "auto", "auto, litert, savedmodel or onnx", lambda value: value in ENGINES)
    device: str = _setting(
        "DEVICE", "auto", "auto, or gpu: the worker then starts only with one", lambda value: value in DEVICES
    )
    engine_threads: int = _setting("ENGINE_THREADS", 1, "a whole number from 1 to 64", _between(1, 64))
    scoring_threads: int = _setting(
        "SCORING_THREADS", 0, "a whole number from 0 to 64; 0: as many as the cores allow", _between(0, 64)
    )
    worker_processes: int = _setting("WORKER_PROCESSES", 1, "a whole number from 1 to 64", _between(1, 64))
    max_batch_size: int = _setting("MAX_BATCH_SIZE", MAX_BATCH_SIZE, "a whole number from 1 to 256", _between(1, 256))
    max_wait_ms: float = _setting("MAX_WAIT_MS", 0.0, "milliseconds from 0 to 1000", _between(0, 1000))
    max_image_bytes: int = _setting(
        "MAX_IMAGE_BYTES", 20_000_000, "bytes from 1000 to 32000000", _between(1_000, 32_000_000)
    )
    decode_bytes: int = _setting(
        "DECODE_BYTES", 200_000_000, "bytes from 50000000 to 16000000000", _between(50_000_000, 16_000_000_000)
    )
    pull_max_messages: int = _setting("PULL_MAX_MESSAGES", 256, "a whole number from 1 to 1000", _between(1, 1000))
    pull_max_bytes: int = _setting(
        "PULL_MAX_BYTES", 24_000_000, "bytes from 10000000 to 1000000000", _between(10_000_000, 1_000_000_000)
    )
    allowed_buckets: str = _setting(
        "ALLOWED_BUCKETS",
        "",
        "names of the buckets whose images may be read, separated by commas; empty: none",
        lambda value: all(BUCKET.fullmatch(name) for name in _names(value)),
    )
    http_endpoint: str = _setting("HTTP_ENDPOINT", "off", "on or off", lambda value: value in ("on", "off"))
    push_audience: str = _setting(
        "PUSH_AUDIENCE", "", "the audience of the pushes' tokens; empty: tokens are not checked", _anything
    )
    push_service_account: str = _setting(
        "PUSH_SERVICE_ACCOUNT",
        "",
        "the email address of the service account that pushes; set with PUSH_AUDIENCE",
        _anything,
    )
    oidc_jwks_url: str = _setting(
        "OIDC_JWKS_URL",
        "https://www.googleapis.com/oauth2/v3/certs",
        "the URL of the key set that verifies tokens",
        lambda value: value.startswith(("https://", "http://")),
    )
    pull_silence_s: float = _setting("PULL_SILENCE_S", 90.0, "seconds from 1 to 3600", _between(1, 3600))
    health_address: str = _setting(
        "HEALTH_ADDRESS", "", "an IPv4 address and a port, such as 0.0.0.0:8080, or nothing", _address
    )
    traces_exporter: str = _setting(
        "OTEL_TRACES_EXPORTER", "none", "none, or an OpenTelemetry exporter that is installed, such as otlp", bool
    )
    response_store: str = _setting("RESPONSE_STORE", "", "gs://bucket/prefix; empty: no response is stored", _is_prefix)
    log_level: str = _setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR", lambda value: value in LOG_LEVELS)

    def __post_init__(self) -> None:
        named = (self.response_topic, self.request_subscription, self.dead_subscription)
        for each in fields(self):
            if each.name == "project" and (self.kafka_bootstrap or all(name.startswith("projects/") for name in named)):
                continue
            value = getattr(self, each.name)
            if not each.metadata["ok"](value):
                raise SettingsError(f"{each.metadata['variable']} is {value!r}; it must be {each.metadata['allowed']}")
        if bool(self.push_audience) != bool(self.push_service_account):
            # Every service account can request a token for every audience: the audience alone would authorize everyone.
            given, absent = "PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"
            if not self.push_audience:
                given, absent = absent, given
            raise SettingsError(f"{given} is set and {absent} is not; a token is checked for both, or set neither")
        if bool(self.registry) != bool(self.models):
            given, absent = ("REGISTRY", "MODELS") if self.registry else ("MODELS", "REGISTRY")
            raise SettingsError(f"{given} is set and {absent} is not; set both, or neither to serve ARTIFACT")
        if self.registry and self.artifact != str(_SHIPPED):
            raise SettingsError(
                f"REGISTRY and ARTIFACT are both set; the worker serves {self.models} of the registry, or the artifact "
                f"{self.artifact}: set one of them"
            )
        names = [name.partition("@")[0] for name in _names(self.models)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise SettingsError(f"MODELS names {twice[0]} twice; name each model once, with the alias that is served")
        if self.kafka_group == "share" and self.kafka_transactions == "on":
            raise SettingsError(
                "KAFKA_GROUP is 'share' and KAFKA_TRANSACTIONS 'on': the acknowledgements of a share group are part of "
                "no transaction; set KAFKA_GROUP to consumer, or KAFKA_TRANSACTIONS to off"
            )
        if self.max_wait_ms and self.max_batch_size == 1:
            raise SettingsError(
                f"MAX_WAIT_MS is {self.max_wait_ms:g} and MAX_BATCH_SIZE 1: an image would wait for other "
                "images that cannot join its batch; set MAX_WAIT_MS to 0, or MAX_BATCH_SIZE to at least 2"
            )
        if self.max_batch_size > self.pull_max_messages:
            raise SettingsError(
                f"MAX_BATCH_SIZE is {self.max_batch_size} and PULL_MAX_MESSAGES {self.pull_max_messages}: a batch "
                "can never fill; set PULL_MAX_MESSAGES to at least MAX_BATCH_SIZE"
            )

    def scorers(self, cores: int) -> int:
        """Return the number of scoring threads of one process. `cores` are shared by all processes of the worker."""
        return self.scoring_threads or max(1, cores // (self.engine_threads * self.worker_processes))

    @property
    def payload_bytes(self) -> int:
        """The part of decode_bytes for request bodies and objects of buckets. The rest is for decoding."""
        return self.decode_bytes // 5

    @property
    def buckets(self) -> frozenset[str]:
        """The buckets whose images may be read."""
        return frozenset(_names(self.allowed_buckets))

    @property
    def source(self) -> str:
        """Where the models come from, for the log."""
        return f"{self.models} in {self.registry}" if self.registry else self.artifact

    @property
    def refs(self) -> list[str]:
        """The models that are served, the default first: `NAME` or `NAME@ALIAS`."""
        return _names(self.models)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings. A variable that is unset or empty has its default. Raises SettingsError."""
        for old, new in RENAMED.items():
            if old in environ:
                raise SettingsError(f"{old} is set; its name is {new} since version 1.0.0")
        given: dict[str, Any] = {}
        for each in fields(cls):
            text = environ.get(each.metadata["variable"], "").strip()
            if not text:
                continue
            try:
                parse: Callable[[str], Any] = type(each.default)
                given[each.name] = parse(text)
            except ValueError:
                raise SettingsError(
                    f"{each.metadata['variable']} is {text!r}; it must be {each.metadata['allowed']}"
                ) from None
        if "pull_max_messages" in given:  # the default of MAX_BATCH_SIZE must not exceed PULL_MAX_MESSAGES
            given.setdefault("max_batch_size", min(MAX_BATCH_SIZE, max(1, given["pull_max_messages"])))
        return cls(**given)

    def topic_path(self, name: str) -> str:
        """Return `projects/P/topics/T` for a topic's name or full name."""
        return name if name.startswith("projects/") else f"projects/{self.project}/topics/{name}"

    def subscription_path(self, name: str) -> str:
        """Return `projects/P/subscriptions/S` for a subscription's name or full name."""
        return name if name.startswith("projects/") else f"projects/{self.project}/subscriptions/{name}"


def rows() -> list[tuple[str, str, str]]:
    """Return variable, default and allowed values of each setting, for the table in docs/settings.md."""
    shown = {str(_SHIPPED): "the shipped model"}
    return [
        (each.metadata["variable"], shown.get(str(each.default), str(each.default)), each.metadata["allowed"])
        for each in fields(Settings)
    ]
