"""The terraform binary, run in a copy of the files and attached to stand-ins of its providers.

Nothing is written into infra/, nothing is installed, no registry is asked, no cloud is called.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.check.workshop import INFRA, ROOT, Workshop

REGISTRY = "registry.terraform.io/hashicorp"
_PLAN = "rehearsal.tfplan"

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit status and everything that it said."""

    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Terraform:
    """The binary with the stand-ins running; made by `attached`."""

    binary: str
    environment: Mapping[str, str]

    def __call__(self, folder: Path, *arguments: str) -> Outcome:
        """Run `terraform ARGUMENTS` in `folder`."""
        done = subprocess.run(
            [self.binary, *arguments],
            cwd=folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode == 0, f"{done.stdout}{done.stderr}".strip())

    def planned(self, folder: Path, variables: Mapping[str, str]) -> Shown:
        """Plan on the stand-ins, which want no `init`: what `terraform show -json` says. Raises RuntimeError."""
        given = [f"-var={name}={value}" for name, value in variables.items()]
        self._must(folder, "plan", "-input=false", f"-out={_PLAN}", *given)
        return self._shown(folder, _PLAN)

    def applied(self, folder: Path) -> Shown:
        """Carry out what was planned there: what `terraform show -json` says of the state. Raises RuntimeError."""
        self._must(folder, "apply", "-input=false", _PLAN)
        return self._shown(folder)

    def _shown(self, folder: Path, *file: str) -> Shown:
        return dict(json.loads(self._must(folder, "show", "-json", *file)))

    def _must(self, folder: Path, *arguments: str) -> str:
        outcome = self(folder, *arguments)
        if not outcome.ok:
            raise RuntimeError(f"terraform {arguments[0]} failed:\n{outcome.said}")
        return outcome.said


def copy_files(target: Path, source: Path = INFRA) -> Path:
    """Copy what Terraform reads (*.tf, topology.yaml, schemas/, tests/) into the new folder `target`.

    But not backend.tf: where a person keeps their state is not looked at here.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in (*source.glob("*.tf"), source / "topology.yaml"):
        if file.name != "backend.tf":
            shutil.copy(file, target)
    for folder in ("schemas", "tests"):
        shutil.copytree(source / folder, target / folder)
    return target


@contextmanager
def attached(workshop: Workshop) -> Iterator[Terraform]:
    """Terraform with a stand-in for each provider; they end with the block, or with this process."""
    with ExitStack() as stack:
        # A socket's path may hold about 100 characters: the checkout may lie deeper than that.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stand-in-")))
        reattach = {}
        for name, schema in workshop.schemas.items():
            socket = sockets / name
            process = stack.enter_context(_stand_in(workshop.python, schema, socket))
            reattach[f"{REGISTRY}/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": process.pid,
                "Test": True,
                "Addr": {"Network": "unix", "String": str(socket)},
            }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        quiet = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color"}
        # A person's own configuration (mirrors, credentials) has no say here.
        settings = {"TF_CLI_CONFIG_FILE": os.devnull, "TF_REATTACH_PROVIDERS": json.dumps(reattach)}
        yield Terraform(workshop.terraform, kept | quiet | settings)


@contextmanager
def _stand_in(python: Path, schema: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    command = [str(python), "-m", "infra.check.stand_in", str(schema), str(socket)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the stand-in for the provider did not start")
            yield process
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
