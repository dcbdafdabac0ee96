"""Texts that people write: every reader takes a byte order mark, as Windows writes it, and none passes over bytes that
are not UTF-8."""

from __future__ import annotations

import codecs
import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.doctor.expected import Expected
from client.gcp import Cloud, UsageError
from client.plan import measurements, prices
from infra.deploy.target import assignments
from infra.local.fault_plan import FaultPlan
from infra.local.topology import SHIPPED, Topology
from infra.local.yaml_fields import TopologyError
from model.engines.base import Signature
from model.text import decode_text, read_text
from model.training.data.labelled import read_labelled
from model.training.importing.label_file import read_labels
from model.training.importing.recipe import read_recipe, recipe
from model.training.yaml_config import read_yaml

_SIGNATURE = Signature(8, 8, 3, "float32", ("a", "b"), {})
_RECIPE = json.dumps(recipe("tf", 8, 8))
_MEASURED = measurements.shipped(0).read_text()


def _listed(path: Path) -> Any:
    (path.parent / "a.png").write_bytes(b"")
    return read_labelled(path.parent, ("a", "b"), path, {})


READERS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "labels": ("labels.txt", "a\nb\n", read_labels),
    "labels as JSON": ("labels.json", '["a", "b"]', read_labels),
    "recipe": ("recipe.json", _RECIPE, lambda path: read_recipe(path, _SIGNATURE)),
    "list of images": ("list.csv", "file,label\na.png,a\n", _listed),
    "configuration": ("config.yaml", "name: a\n", read_yaml),
    "prices": ("prices.toml", prices.SHIPPED.read_text(), prices.Prices.read),
    "measurements": ("measured.json", _MEASURED, lambda path: measurements.read([path])),
    "topology": ("topology.yaml", SHIPPED.read_text(), Topology.read),
    "fault plan": ("plan.yaml", "errors: 0.5\n", lambda path: FaultPlan.parse(str(path))),
    "variables": ("a.tfvars", 'region = "europe-west1"\n', assignments),
}


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_changes_nothing(name: str, tmp_path: Path) -> None:
    file, text, read = READERS[name]
    path = tmp_path / file
    path.write_bytes(text.encode())
    plain = read(path)
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert plain and read(path) == plain


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused(name: str, encoding: str, tmp_path: Path) -> None:
    file, text, read = READERS[name]
    (tmp_path / file).write_bytes((text + "é").encode(encoding, "replace"))
    with pytest.raises(Exception, match=r"(?i)utf-8|cannot be read|neither YAML nor JSON") as refused:
        read(tmp_path / file)
    assert not isinstance(refused.value, UnicodeError)
    assert "codec" not in str(refused.value)


def test_text_is_decoded_in_full(tmp_path: Path) -> None:
    assert decode_text("\ufeffé\r\n".encode()) == "é\r\n"
    (tmp_path / "a").write_bytes("\ufeffé\r\nb\rc\n".encode())
    assert read_text(tmp_path / "a") == "é\nb\nc\n"
    with pytest.raises(ValueError, match=r"^it is not UTF-8 text \(the byte 0xe9 at position 3\); save it as UTF-8$"):
        decode_text("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^it is not UTF-8 text \(UTF-16\); save it as UTF-8$"):
        decode_text("cat".encode("utf-16"))


def test_a_string_is_no_list_of_its_characters(tmp_path: Path) -> None:
    whole = SHIPPED.read_text()
    single = re.sub(r"event_types: \[(\w+).*\]", r"event_types: \1", whole)
    assert single != whole
    (tmp_path / "topology.yaml").write_text(single)
    cloud = Cloud("pets")
    with pytest.raises(UsageError, match="event_types is 'OBJECT_FINALIZE'; it must be a list"):
        Expected.read(tmp_path / "topology.yaml", cloud, "", defaultdict(str))
    with pytest.raises(TopologyError, match="event_types"):
        Topology.read(tmp_path / "topology.yaml")
