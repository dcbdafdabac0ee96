"""How to connect to Kafka: the properties of librdkafka, its clients, and its errors.

Nothing else imports confluent_kafka before this module has found it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from functions.kafka.google_tokens import google_token
from model.text import quoted

log = logging.getLogger(__name__)

MAX_VALUE_BYTES = 10_000_000
"""Maximum bytes of a message's value, as Pub/Sub has it. Topics need a max.message.bytes of MAX_MESSAGE_BYTES."""

MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + 1_000_000
"""Maximum bytes of a message with its key and headers."""

OURS = (
    "acks",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
)
"""Properties that KAFKA_CONFIG may not set, because no message is lost only with the values that this program sets."""

QUIET_S = 10.0
"""Seconds from one line of librdkafka to the next of its kind: it reports each attempt to connect to each broker."""

_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?):[0-9]{1,5}")
_NAME = re.compile(r"[a-z0-9._]+")


class KafkaConfigError(ValueError):
    """A setting of the connection is wrong. The message names the property and never the value of one in the file."""


class ConsumerBroke(Exception):
    """A consumer cannot go on."""


class _Quiet(logging.Filter):
    """Drops lines on properties of the other kind of client, which one file serves too, and repeats within QUIET_S."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text, now = record.getMessage(), time.monotonic()
        kind = text.partition(" ")[0]
        if kind == "CONFWARN" or now < self._quiet_until.get(kind, 0.0):
            return False
        self._quiet_until[kind] = now + QUIET_S
        return True


_librdkafka = logging.getLogger("functions.kafka.librdkafka")
_librdkafka.addFilter(_Quiet())


def library() -> Any:
    """The package confluent_kafka. Raises KafkaConfigError where it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise KafkaConfigError("Kafka needs the package confluent-kafka: pip install confluent-kafka") from None
    return confluent_kafka


def properties(bootstrap: str, config: str = "", oauth: str = "") -> dict[str, Any]:
    """The properties of librdkafka that every client of these brokers has. Raises KafkaConfigError.

    `bootstrap`: `host:port`, several separated by commas. `config`: a file with a property `name=value` on each line,
    for TLS, SASL and limits. `oauth`: `google` signs in to Google's Managed Service for Apache Kafka with Application
    Default Credentials; empty: as the file says.
    """
    kafka = library()
    servers = [server.strip() for server in bootstrap.split(",")]
    for server in servers:
        if not _SERVER.fullmatch(server) or not 0 < int(server.rpartition(":")[2]) < 65536:
            raise KafkaConfigError(
                f"the Kafka broker is {quoted(server)}; it must be host:port, several separated by commas"
            )
    made: dict[str, Any] = {
        "client.id": "predictions",
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2_000,
        "metadata.recovery.strategy": "none",  # with `rebootstrap`, a transaction hangs after an outage of all brokers
        "log.connection.close": False,  # brokers close idle connections
        "socket.keepalive.enable": True,
        "logger": _librdkafka,
    }
    if oauth:
        if oauth != "google":
            raise KafkaConfigError(f"KAFKA_OAUTH is {quoted(oauth)}; it must be google, or be left out")
        made |= {"security.protocol": "SASL_SSL", "sasl.mechanisms": "OAUTHBEARER", "oauth_cb": google_token}
    made |= _file_properties(config) if config else {}
    made["bootstrap.servers"] = ",".join(servers)
    # librdkafka reads the properties, and connects only when it is asked for something.
    client(kafka.Producer, {name: value for name, value in made.items() if name != "oauth_cb"})
    return made


def _file_properties(config: str) -> dict[str, str]:
    try:
        lines = Path(config).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise KafkaConfigError(f"KAFKA_CONFIG is {quoted(config)}; it must be a file of text: {_why(exc)}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, mark, value = (part.strip() for part in text.partition("="))
        where = f"line {number} of {config} (KAFKA_CONFIG)"
        if not mark or not _NAME.fullmatch(name):
            raise KafkaConfigError(f"{where} is no property; it must be name=value, with a name of librdkafka")
        if name in OURS:
            raise KafkaConfigError(f"{where} sets {name}, which this program sets itself; leave it out")
        if name in found:
            raise KafkaConfigError(f"{where} sets {name} a second time; it must be set once")
        found[name] = value
    return found


def _why(exc: Exception) -> str:
    return (exc.strerror or str(exc)) if isinstance(exc, OSError) else "it is not UTF-8"


def _without_values(exc: Exception, made: Mapping[str, Any]) -> str:
    text = sentence_of(exc)
    for name, value in made.items():
        if isinstance(value, str) and name not in ("client.id", "bootstrap.servers") and value:
            text = text.replace(f'"{value}"', "its value")
    return text


def sentence_of(exc: BaseException) -> str:
    """What a KafkaException says."""
    error = exc.args[0] if exc.args else exc
    return str(error.str()) if hasattr(error, "str") else str(error)


def client(kind: Callable[[dict[str, Any]], Any], config: Mapping[str, Any]) -> Any:
    """A client of this kind. Raises KafkaConfigError for properties that it does not take."""
    try:
        return kind(dict(config))
    except (library().KafkaException, TypeError, ValueError) as exc:
        raise KafkaConfigError(f"a property of Kafka's clients is wrong: {_without_values(exc, config)}") from None


def admin_client(properties: Mapping[str, Any]) -> Any:
    """A client for questions from any thread: a consumer that is polled blocks the calls of others."""
    library()
    from confluent_kafka.admin import AdminClient

    return client(AdminClient, properties)


def answers(admin: Any, topic: str, timeout_s: float) -> bool:
    """Whether a broker answers within the time."""
    try:
        admin.list_topics(topic, timeout=timeout_s)
    except library().KafkaException:
        return False
    return True


def judge(error: Any) -> None:
    """Log an error that a consumer reports. Raises KafkaException for one that it does not overcome by itself."""
    codes = library().KafkaError
    lasting = (
        codes.TOPIC_AUTHORIZATION_FAILED,
        codes.GROUP_AUTHORIZATION_FAILED,
        codes.UNKNOWN_TOPIC_OR_PART,
        codes._UNKNOWN_TOPIC,
        codes._AUTHENTICATION,
    )
    if error.fatal() or error.code() in lasting:
        raise library().KafkaException(error)
    log.warning("the consumer reports: %s", error.str())


def log_error(error: Any) -> None:
    """Log an error that a producer reports: its `error_cb`, without which its `poll` raises no fatal error."""
    _librdkafka.warning("ERROR %s", error.str())


def broke(exc: Exception, topic: str, group: str) -> Exception:
    """What ended a consumer of a topic and a group; of an exception of Kafka's library, with what is refused."""
    if not isinstance(exc, library().KafkaException):
        return exc
    codes = library().KafkaError
    refused = {
        codes.TOPIC_AUTHORIZATION_FAILED: f"grant Read on the topic {topic}",
        codes.GROUP_AUTHORIZATION_FAILED: f"grant Read on the group {group}",
        codes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"grant Write on the transactional ids that begin with {topic}-",
    }
    said, right = sentence_of(exc), refused.get(exc.args[0].code())
    return ConsumerBroke(f"{said.rstrip('.')}: {right} to this user" if right else said)
