"""What Terraform would build, for the contracts that hold it to the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.check.terraform import attached, copy_files
from infra.check.ways import EXAMPLE
from infra.check.workshop import Unavailable, prepare
from tests.conftest import absent

Plan = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    """The resources of a plan, carried out by the stand-in provider: a push endpoint is not known before."""
    try:
        workshop = prepare()
    except Unavailable as exc:
        absent(str(exc))
    with attached(workshop) as terraform:

        def plan(**variables: str) -> list[dict[str, Any]]:
            _, state = terraform.rehearse(copy_files(tmp_path_factory.mktemp("infra") / "work"), EXAMPLE | variables)
            return list(state["values"]["root_module"]["resources"])

        yield plan
