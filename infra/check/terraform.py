"""Runs the terraform binary in a copy of the files, attached to fake providers.

It writes nothing into infra/, installs nothing, and contacts no registry and no cloud.
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

from infra.check.toolchain import INFRA, ROOT, Toolchain

REGISTRY = "registry.terraform.io/hashicorp"
_PLAN = "rehearsal.tfplan"

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command: whether it succeeded, and its output."""

    ok: bool
    output: str


@dataclass(frozen=True, slots=True)
class Terraform:
    """The binary with running fake providers; made by `attached`."""

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
        """Plan with the fake providers, without `init`; returns `terraform show -json`. Raises RuntimeError."""
        given = [f"-var={name}={value}" for name, value in variables.items()]
        self._must(folder, "plan", "-input=false", f"-out={_PLAN}", *given)
        return self._shown(folder, _PLAN)

    def applied(self, folder: Path) -> Shown:
        """Apply the plan; returns `terraform show -json` of the state. Raises RuntimeError."""
        self._must(folder, "apply", "-input=false", _PLAN)
        return self._shown(folder)

    def _shown(self, folder: Path, *file: str) -> Shown:
        return dict(json.loads(self._must(folder, "show", "-json", *file)))

    def _must(self, folder: Path, *arguments: str) -> str:
        outcome = self(folder, *arguments)
        if not outcome.ok:
            raise RuntimeError(f"terraform {arguments[0]} failed:\n{outcome.output}")
        return outcome.output


def copy_files(target: Path, source: Path = INFRA, keep: str = "") -> Path:
    """Copy the files that Terraform reads into the emptied folder `target`.

    backend.tf is left out, because it names the user's own state. `keep`: a folder in `target` that stays.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.is_dir() and path.name != keep:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    for file in (*source.glob("*.tf"), source / "topology.yaml", source / "runbook.md"):
        if file.name != "backend.tf":
            shutil.copy(file, target)
    for folder in ("schemas", "tests"):
        shutil.copytree(source / folder, target / folder)
    return target


@contextmanager
def attached(toolchain: Toolchain) -> Iterator[Terraform]:
    """Terraform with a fake of each provider's newest version. The fakes end with the block, or with this process."""
    with ExitStack() as stack:
        # In a temporary folder, because a socket's path is limited to about 100 characters.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fake-provider-")))
        reattach = {}
        for name, schema in toolchain.newest.items():
            socket = sockets / name
            process = stack.enter_context(_fake_provider(toolchain.python, schema, socket))
            reattach[f"{REGISTRY}/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": process.pid,
                "Test": True,
                "Addr": {"Network": "unix", "String": str(socket)},
            }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        # Terraform decodes both schemas in every command: rarer garbage collections save a quarter of its CPU time.
        quiet = {"GOGC": "400", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color"}
        # The user's own configuration (mirrors, credentials) is ignored.
        settings = {"TF_CLI_CONFIG_FILE": os.devnull, "TF_REATTACH_PROVIDERS": json.dumps(reattach)}
        yield Terraform(toolchain.terraform, kept | quiet | settings)


@contextmanager
def _fake_provider(python: Path, schema: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    command = [str(python), "-m", "infra.check.fake_provider", str(schema), str(socket)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the fake provider did not start")
            yield process
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
