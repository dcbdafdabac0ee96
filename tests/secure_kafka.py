"""A real Kafka broker with TLS, passwords and rights, as the clusters of companies have them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.certificate import write_certificate
from tests.kafka_broker import broker
from tests.waiting import until

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_ITERATIONS = 4096


@dataclass(frozen=True, slots=True)
class Right:
    """An operation that a user may do. `kind`: TOPIC, GROUP or TRANSACTIONAL_ID, as Kafka names them.

    `is_prefix`: on all names that begin with `name`.
    """

    operation: str
    kind: str
    name: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class SecureKafka:
    """The broker's address, the certificate that its clients trust, and its administrator's password."""

    bootstrap: str
    certificate: Path
    password: str

    def admin_properties(self) -> dict[str, str]:
        """Properties of librdkafka with which a client may do everything."""
        return self._properties("PLAIN", "admin", self.password)

    def new_user(self, rights: Iterable[Right]) -> dict[str, str]:
        """Properties of librdkafka of a new user, who has these rights and no others."""
        from confluent_kafka.admin import (
            AclBinding,
            AclBindingFilter,
            AclOperation,
            AclPermissionType,
            ResourcePatternType,
            ResourceType,
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        name, password = f"user-{secrets.token_hex(4)}", secrets.token_hex(16)
        admin = self._admin()
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        credential = UserScramCredentialUpsertion(name, how, password.encode())
        patterns = {True: ResourcePatternType.PREFIXED, False: ResourcePatternType.LITERAL}
        rules = [
            AclBinding(
                ResourceType[each.kind],
                each.name,
                patterns[each.is_prefix],
                f"User:{name}",
                "*",
                AclOperation[each.operation],
                AclPermissionType.ALLOW,
            )
            for each in rights
        ]
        made = [*admin.alter_user_scram_credentials([credential]).values()]
        made += admin.create_acls(rules).values() if rules else ()
        for each in made:
            each.result(30)
        # The controller has them; the broker that decides may learn them a moment later.
        own = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            f"User:{name}",
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        assert until(lambda: len(admin.describe_acls(own).result(30)) == len(set(rules)))
        return self._properties("SCRAM-SHA-512", name, password)

    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient({**self.admin_properties(), "bootstrap.servers": self.bootstrap})

    def _properties(self, mechanism: str, name: str, password: str) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.certificate),
            "sasl.mechanism": mechanism,
            "sasl.username": name,
            "sasl.password": password,
        }


@contextmanager
def secure_broker(folder: Path, *settings: str) -> Iterator[SecureKafka]:
    """A broker of the test's own, with its data and its certificate in the folder. `settings` as for `broker`."""
    certificate, password = folder / "broker.pem", secrets.token_hex(16)
    write_certificate(certificate)
    # The listener PLAINTEXT of the program has TLS and SASL here. The controller's has neither, and only the broker.
    secure = (
        "listener.security.protocol.map=PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol=PLAIN",
        f"listener.name.plaintext.plain.sasl.jaas.config={_PLAIN} required "
        f'username="admin" password="{password}" user_admin="{password}";',
        f"listener.name.plaintext.scram-sha-512.sasl.jaas.config={_SCRAM} required;",
        *(f"ssl.{store}.type=PEM" for store in ("keystore", "truststore")),
        *(f"ssl.{store}.location={certificate}" for store in ("keystore", "truststore")),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:admin;User:ANONYMOUS",
    )
    with broker(folder / "data", *secure, *settings) as made:
        yield SecureKafka(made.bootstrap, certificate, password)
