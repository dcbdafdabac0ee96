"""Which tests share a process under `pytest -n N --dist loadgroup`, and which begin first.

The tests of a file share one, for their module-scoped fixtures. What a folder shares is started once: TensorFlow, the
stand-ins of Terraform's providers, Google's emulator. What takes longest begins first, so that no process ends alone.
"""

from __future__ import annotations

import pytest

_GROUPS = {"lab": "tensorflow", "terraform": "terraform"}
_FIRST = ("tensorflow", "terraform", "google")


@pytest.hookimpl(tryfirst=True)  # before xdist writes the groups into the tests' ids
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test a group, unless its file is marked `spread`: those tests share nothing."""
    for item in items:
        if not item.get_closest_marker("xdist_group") and not item.get_closest_marker("spread"):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_place)


def _group(item: pytest.Item) -> str:
    parameters: dict[str, object] = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    if parameters.get("cloud") == "google":
        return "google"
    if isinstance(item, pytest.Function) and "shared_twin" in item.fixturenames:
        return "shared twins"
    return _GROUPS.get(item.path.parent.name, f"{item.path.parent.name}/{item.path.stem}")


def _place(item: pytest.Item) -> int:
    """The folders' order stays, but for the groups that take longest."""
    marker = item.get_closest_marker("xdist_group")
    return _FIRST.index(marker.args[0]) if marker and marker.args[0] in _FIRST else len(_FIRST)
