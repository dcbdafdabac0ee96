"""The texts of `show` and `diff`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from model.artifact.manifest import GOLDEN
from model.commands.tables import facts, table, when
from model.registry.contents import Contents
from model.text import shortened, size_text

_MOST = 20
"""Labels that are listed."""

_WIDTH = 78
"""Characters of a line with values of a file."""


def show_json(contents: Contents, named: Sequence[str]) -> dict[str, Any]:
    """The value of `show --json`."""
    version, manifest = contents.version, contents.version.manifest
    return {
        "model": version.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "address": version.address,
        "aliases": list(named),
        "parameters": manifest.parameters,
        "engines": [{"name": name, **figures} for name, figures in contents.engines.items()],
        "labels": list(contents.labels),
        "signature": dict(contents.signature),
        "files": {path: {"sha256": file.sha256, "size": file.size} for path, file in manifest.files.items()},
        "golden_images": len(contents.golden),
        "composition": dict(contents.composition) or None,
        "card": contents.card or None,
    }


def show_text(contents: Contents, named: Sequence[str]) -> str:
    """The text of `show`."""
    version, manifest, signature = contents.version, contents.version.manifest, contents.signature
    modified = max(entry.modified for entry in version.files.values())
    rows = [
        ("digest", manifest.digest),
        ("address", version.address),
        ("pushed", f"{when(modified)} UTC"),
        ("aliases", ", ".join(named) or "none"),
        ("input", " x ".join(str(signature.get(key)) for key in ("width", "height", "channels"))),
        ("labels", f"{len(contents.labels)}: {_some(contents.labels)}"),
        ("parameters", f"{manifest.parameters:,}" if manifest.parameters else "unknown"),
        ("golden images", str(len(contents.golden) or "none")),
        *([("composition", _composition(contents))] if contents.composition else []),
        ("model card", contents.card or "none"),
    ]
    steps = signature.get("preprocessing")
    blocks = [
        f"{version.name} {manifest.version}",
        facts(rows, "  "),
        "\nengines, the fastest first\n" + _engines(contents),
        "\npreprocessing\n" + "\n".join(f"  {line}" for line in _lines(steps)),
        "\nfiles\n" + table(("file", "size"), [(p, size_text(f.size)) for p, f in manifest.files.items()], "  "),
    ]
    return "\n".join(blocks)


def diff_text(old: Contents, new: Contents, found: Mapping[str, Any]) -> str:
    """The text of `diff`: what `compare` found."""
    lines = [f"{_title(old)} → {_title(new)}"]
    if old.version.manifest.digest == new.version.manifest.digest:
        lines.append("the digests are equal: both predict the same")
    if labels := found.get("labels"):
        lines.append("labels")
        lines += _listed("+", labels["added"]) + _listed("-", labels["removed"])
        lines += ["  the same labels in another order"] if labels["order_changed"] else []
    if recipe := found.get("preprocessing", {}).get("recipe"):
        lines.append("preprocessing")
        lines += [
            f"  {line}"
            for line in difflib.unified_diff(_lines(recipe["from"]), _lines(recipe["to"]), n=1, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
    if "composition" in found:
        sides = [(side, _composition(each)) for side, each in (("from", old), ("to", new))]
        lines += ["composition", facts(sides, "  ")]
    for section in ("signature", "engines"):
        if section in found:
            rows = [(key, _value(each["from"]), _value(each["to"])) for key, each in found[section].items()]
            lines += [section, table(("", "from", "to"), rows, "  ")]
    lines += _file_lines(old, new, found.get("files", {}))
    lines += [GOLDEN]
    for engine, shift in found.get("golden", {}).items():
        lines.append(
            f"  {engine}: same best label in {shift['same_best_label']} of {shift['images']} images, scores differ by "
            f"at most {shift['largest_difference']:.4f}"
        )
    if "golden" not in found:
        lines.append("  there are no scores of the same golden image, engine and label")
    return "\n".join(lines)


def _title(contents: Contents) -> str:
    return f"{contents.version.name} {contents.version.manifest.version}"


def _composition(contents: Contents) -> str:
    """How the members of a combined model become one: `cascade, threshold 0.8: small 1.0.0, large 1.0.0`."""
    found = contents.composition
    if not found:
        return "one model"
    members = [each for each in found["members"] if isinstance(each, dict)]
    named = ", ".join(f"{each.get('name')} {each.get('version')}" for each in members)
    threshold = f", threshold {_value(found['threshold'])}" if "threshold" in found else ""
    return f"{_value(found.get('kind'))}{threshold}: {named}"


def _engines(contents: Contents) -> str:
    keys = dict.fromkeys(key for figures in contents.engines.values() for key in figures if key != "file")
    rows = [(name, *(_value(figures.get(key)) for key in keys)) for name, figures in contents.engines.items()]
    return table(("engine", *(key.replace("_", " ") for key in keys)), rows, "  ")


def _lines(steps: object) -> list[str]:
    """A recipe with one line for each step."""
    if not isinstance(steps, dict):
        return [_value(steps)]
    rest = [f"{key}: {_value(value)}" for key, value in steps.items() if key != "steps"]
    return rest + [line for step in steps.get("steps", []) for line in _step(step, "")]


def _step(step: Any, indent: str) -> list[str]:
    if not isinstance(step, dict):
        return [indent + _value(step)]
    plain = {key: value for key, value in step.items() if key not in ("op", "steps")}
    inner = step.get("steps", [])
    shown = " ".join([str(step.get("op")), *(f"{key}={_value(value)}" for key, value in plain.items())])
    return [indent + shown, *(line for each in inner for line in _step(each, f"{indent}  "))]


def _value(value: object) -> str:
    if value is None:
        return "-"
    return shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _WIDTH)


def _file_lines(old: Contents, new: Contents, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files that differ, and then those that only one version has."""
    if not files:
        return []
    changed = [(path, _size(each["from"]), _size(each["to"])) for path, each in files.items() if all(each.values())]
    lines = ["files", *([table(("", "from", "to"), changed, "  ")] if changed else [])]
    for contents, side, other in ((old, "from", "to"), (new, "to", "from")):
        alone = [(path, size_text(each[side]["size"])) for path, each in files.items() if not each[other]]
        lines += [table((f"only in {_title(contents)}", ""), alone, "  ")] if alone else []
    return lines


def _size(file: Mapping[str, Any]) -> str:
    return f"{size_text(file['size'])}, {file['sha256'][:12]}"


def _listed(sign: str, labels: Sequence[str]) -> list[str]:
    more = [f"  {sign} {len(labels) - _MOST:,} more"] if len(labels) > _MOST else []
    return [f"  {sign} {label}" for label in labels[:_MOST]] + more


def _some(labels: Sequence[str]) -> str:
    more = f", and {len(labels) - _MOST:,} more" if len(labels) > _MOST else ""
    return ", ".join(labels[:_MOST]) + more
