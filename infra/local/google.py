"""Google's Pub/Sub emulator as the other backend: run as a jar with Java, else through gcloud."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from infra.local.child import Child
from infra.local.ports import LOOPBACK, free_port, listens, reachable

_JAVA_FLAGS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]  # starts half a second sooner
_COMMON_ROOTS = ("/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "~/google-cloud-sdk")

# Seconds until the emulator must listen.
_START_S = 30.0


class NoEmulator(RuntimeError):
    """Google's emulator is not installed; the message says how to install it."""


def find(port: int, host: str = LOOPBACK) -> list[str]:
    """The command that starts the emulator on a port. Raises NoEmulator."""
    gcloud, java, address = shutil.which("gcloud"), shutil.which("java"), f"{host}:{port}"
    roots = [Path(gcloud).resolve().parents[1]] if gcloud else []
    roots += [Path(root).expanduser() for root in _COMMON_ROOTS]
    for root in roots:
        jars = sorted((root / "platform" / "pubsub-emulator" / "lib").glob("*-all.jar"))
        if jars and java:
            return [java, *_JAVA_FLAGS, "-jar", str(jars[-1]), f"--host={host}", f"--port={port}"]
        if jars and gcloud:
            data = tempfile.gettempdir()  # must exist, though the emulator stores nothing there
            return [gcloud, "beta", "emulators", "pubsub", "start", f"--host-port={address}", f"--data-dir={data}"]
    raise NoEmulator(
        "Google's Pub/Sub emulator is not installed: it needs Java and `gcloud components install pubsub-emulator` "
        "(or the package google-cloud-cli-pubsub-emulator); `--pubsub embedded` needs neither"
    )


class GoogleEmulator:
    """Google's emulator on `host`, an IPv4 address, between `start` and `stop`. `port` 0 takes a free one."""

    def __init__(self, port: int = 0, *, host: str = LOOPBACK, log: Path) -> None:
        self._address, self._port, self._log = host, port or free_port(host), log
        self._child: Child | None = None

    @property
    def host(self) -> str:
        """The value for PUBSUB_EMULATOR_HOST: `address:port`."""
        return f"{reachable(self._address)}:{self._port}"

    def start(self) -> None:
        """Start the emulator and wait until it listens. Raises NoEmulator or ChildFailed."""
        command = find(self._port, self._address)
        if listens(self._port, reachable(self._address)):
            raise OSError(f"Google's emulator cannot listen on {self.host}; the port is taken")
        self._child = Child("Pub/Sub emulator", command, log=self._log, cwd=Path.cwd(), env=os.environ)
        deadline = time.monotonic() + _START_S
        while not listens(self._port, reachable(self._address)):
            self._child.check()
            if time.monotonic() > deadline:
                raise self._child.failed(f"did not listen within {_START_S:g} s")
            time.sleep(0.02)

    def push(self) -> None:
        """Do nothing: the emulator keeps no messages, so it has nothing to push at its start."""

    def stop(self) -> None:
        """Stop the emulator, which loses its state."""
        if self._child:
            self._child.stop(grace_s=2.0)
