"""Which tests share a process under `pytest -n N`, and in which order they begin.

The tests of a file share one, for their module-scoped fixtures. What is expensive is started once: TensorFlow, the
stand-ins of Terraform's providers, Google's emulator, the shared twins. What takes longest begins first.
xdist's own marker for groups has no effect with pytest 9.2, which no longer lets a plugin add to a test's id.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SHARED_TWINS = (
    "test_client",
    "test_client_answers",
    "test_client_streams",
    "test_explain",
    "test_frames",
    "test_gathered_messages",
    "test_help_examples",
    "test_jobs",
    "test_jobs_faults",
    "test_jobs_resumed",
    "test_python_client",
    "test_python_jobs",
    "test_python_programs",
    "test_replay",
    "test_results",
    "test_similar",
    "test_trace_path",
    "test_watch_folder",
    "test_web",
    "test_web_again",
    "test_web_browser",
    "test_web_live",
    "test_web_tabs",
    "test_web_evaluation",
    "test_web_models",
    "test_web_models_browser",
)
"""The files whose tests take the fixture `shared_twin`. They share two processes, as one would be the last to end."""

SPREAD = ("test_kafka_worker", "test_slow_callers", "test_many_large")
"""Files of long tests that share nothing: each may run in another process."""

LONG = (
    *SPREAD,
    "test_pull_shutdown",
    "test_push_shutdown",
    "test_doctor_abroad",
    "test_identity",
    "test_help_examples",
)
"""Files with tests of 15 s and more: at the end of a run, one process would still run them while the others wait."""

TRAINING = ("test_training", "test_transfer", "test_bring_your_own")
"""How the names of the files begin that train networks. They take half of the time of tests/lab."""

_FOLDERS = ("lab", "terraform", "release", "service", "conformance", "unit")


def group(test: str) -> str:
    """The group of a test by its id, `tests/folder/file.py::test_name[parameters]`."""
    path, _, name = test.partition("::")
    folder, _, file = path.removesuffix(".py").removeprefix("tests/").rpartition("/")
    if folder == "lab":
        return "training" if file.startswith(TRAINING) else "lab"
    if folder == "terraform":
        return folder
    if folder == "conformance" and "[google" in name:
        return "google"
    if file in SHARED_TWINS:
        return f"shared twins {SHARED_TWINS.index(file) % 2}"
    return test if file in SPREAD else path


def place(test: str) -> tuple[int, int]:
    """The sort key of a test: its folder, and in it the long tests first. Google's emulator follows Terraform."""
    folder = test.partition("/")[2].partition("/")[0]
    if group(test) == "google":
        return _FOLDERS.index("terraform"), 2
    is_long = group(test).startswith("shared twins") or any(f"/{name}.py::" in test for name in LONG)
    return (_FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)), 0 if is_long else 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, the same way in every process."""
    items.sort(key=lambda item: place(item.nodeid))


class Groups(LoadScopeScheduling):
    """Gives each process whole groups."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


class Plugin:
    """Registered only with xdist, which distributes the tests."""

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> LoadScopeScheduling:
        """Take our groups in the order that the tests have."""
        config.option.loadscopereorder = False
        return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """The hook is xdist's, which may be switched off."""
    if config.pluginmanager.hasplugin("dsession") or config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Plugin(), "groups")
