"""Shared fixtures: the data folder, and what happens when a tool or data set is missing.

On a developer's machine, tests that need a missing emulator, browser, terraform or data set are skipped with the
reason; under CI they fail.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from infra.check.terraform import Terraform, attached
from infra.check.toolchain import Toolchain, Unavailable, prepare
from tests.tools import Tools

pytest_plugins = [
    "tests.brokers",
    "tests.budget",
    "tests.complete",
    "tests.grouping",
    "tests.isolation",
    "tests.kafka_broker",
    "tests.memory_pipeline",
    "tests.registries",
]

ROOT = Path(__file__).resolve().parents[1]

# How fast a machine is, is not asked here.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# The client's job store of these tests, also of the processes that they start.
os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = tempfile.mkdtemp(prefix="predictions-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

# A shell starts what runs in its background deaf to Ctrl-C, and whatever that starts is deaf too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def absent(reason: str) -> None:
    """Skip on a developer's machine, fail under CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (a failure under CI)")
    pytest.skip(reason)  # noqa: TID251


def require(module: str) -> None:
    """Skip, or fail under CI, where a module of tests/requirements.txt is not installed."""
    if find_spec(module) is None:
        absent(f"{module} is not installed: make setup")


def data_folder() -> Path:
    """Where the shared data is, or would be: $SHARED/data, by default ../shared/data."""
    return Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder, which is there."""
    data = data_folder()
    if not data.is_dir():
        absent(f"no shared data at {data}: set SHARED")
    return data


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


def requirement_files(pattern: str = "requirements.txt") -> list[Path]:
    """The files of the checkout that name packages. Folders of tools, where files come and go, are left out."""
    parts = (ROOT / part for part in ("client", "docs", "functions", "infra", "model", "tests"))
    return [*ROOT.glob(pattern), *(file for part in parts for file in part.rglob(pattern))]


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """What the checks of infra/ need."""
    try:
        return prepare()
    except Unavailable as exc:
        absent(str(exc))
        raise


@pytest.fixture(scope="session")
def terraform(toolchain: Toolchain) -> Iterator[Terraform]:
    """The real terraform, attached to stand-ins of its providers: started once for all tests."""
    with attached(toolchain) as terraform:
        yield terraform


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Stand-ins on PATH, and a registry that has the image of their checkout from the second look on."""
    tools = Tools(tmp_path)
    monkeypatch.setenv("PATH", str(tools.bin), prepend=os.pathsep)
    tools.images("source-old", tools.tag)
    tools.images("source-old", once=True)
    return tools
