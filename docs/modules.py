"""Write docs/modules.md, which lists every Python module with the first sentence of its docstring.

Run it after a module is added, renamed or described differently: `python -m docs.modules`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "modules.md"
PACKAGES = ("functions", "client", "model", "infra")
_HEAD = """# Modules

Every module and what it does, from its docstring. `python -m docs.modules` writes this page. The rules for imports are
in [pyproject.toml](../pyproject.toml).
"""


def page() -> str:
    """The text of the page."""
    parts = [_HEAD]
    for package in PACKAGES:
        files = sorted((ROOT / package).rglob("*.py"), key=lambda file: (file.parent, file.name))
        for folder in dict.fromkeys(file.parent for file in files):
            parts.append(f"\n## {folder.relative_to(ROOT)}\n")
            summary = first_sentence(folder / "__init__.py")
            parts.append(f"\n{summary}\n\n" if summary else "\n")
            modules = [file for file in files if file.parent == folder and file.name != "__init__.py"]
            parts += [f"- `{file.name}`: {first_sentence(file)}\n" for file in modules]
    return "".join(parts)


def first_sentence(file: Path) -> str:
    """The first sentence of a module's docstring, or nothing."""
    docstring = ast.get_docstring(ast.parse(file.read_text())) if file.exists() else None
    paragraph = (docstring or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.?])\s+(?=[A-Z])", paragraph)[0]


if __name__ == "__main__":
    PAGE.write_text(page())
