"""Remembers layers that passed: a layer whose inputs are unchanged is not run again.

The inputs of every layer are the Terraform files, this package with its lists of tools, and the terraform binary.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from infra.check.toolchain import INFRA

# Files of infra/ that every layer depends on, and those that only some layers read.
_COMMON = ("*.tf", "topology.yaml", "runbook.md", "schemas/*", "check/*.py", "check/*.txt", "check/*.toml")
_TESTS = {
    "fmt": ("tests/*.hcl", "examples/*.tfvars", "examples/*/*.tf"),
    "validate": ("tests/*.hcl",),
    "test": ("tests/*.hcl",),
}
_READ = {
    "variables": ("module.md",),
    "outputs": ("module.md",),
    "permissions": ("PERMISSIONS.md",),
    "examples": ("README.md", "examples/*/main.tf"),
}


class Passed:
    """The layers that passed, in a JSON file. `terraform`: the path of the binary, which is an input too."""

    def __init__(self, file: Path, terraform: str, infra: Path = INFRA) -> None:
        self._file, self._infra = file, infra
        binary = Path(terraform).resolve()
        self._terraform = f"{binary} {binary.stat().st_size} {binary.stat().st_mtime_ns}"

    def output(self, layer: str) -> str | None:
        """The layer's output when it passed with the same inputs, else None."""
        known = self._read().get(layer, {})
        return known.get("output") if known.get("inputs") == self._inputs(layer) else None

    def keep(self, layer: str, output: str) -> None:
        """Remember that the layer passed."""
        known = self._read() | {layer: {"inputs": self._inputs(layer), "output": output}}
        self._file.write_text(json.dumps(known))

    def _inputs(self, layer: str) -> str:
        found = hashlib.sha256(self._terraform.encode())
        for pattern in (*_COMMON, *_TESTS.get(layer, ()), *_READ.get(layer, ())):
            for path in sorted(self._infra.glob(pattern)):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found.update(f"{path.relative_to(self._infra)} {digest}\n".encode())
        return found.hexdigest()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            known: dict[str, dict[str, str]] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return known
