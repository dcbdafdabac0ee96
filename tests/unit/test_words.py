"""The project's texts use the field's words: each word below has a replacement that a new reader understands.

Documents are checked without their code. In Python files, comments, strings, docstrings and names are checked.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.settings import RENAMED
from tests.unit.test_documents import pages_of

CLEAN = ("client", "docs", "functions", "infra", "model", "tests")
"""Folders whose Python files are checked."""

WORDS = {
    r"doors?": "entry point, or endpoint",
    r"(?<!dead )(?<!dead-)letters?": "message",
    r"strangers?": "untrusted sender, or a sender without access",
    r"wish(?:es)?": "option",
    r"crews?": "thread pool",
    r"rooms?": "memory budget, capacity, or package",
    r"ledgers?": "response store (worker), request tracker (client)",
    r"outbox(?:es)?": "batch publisher",
    r"weather|dice|bad day": "fault plan, or fault injection",
    r"mend(?:s|ed|ing)?": "fix",
    r"told": "reported, or name who receives what",
    r"who(?:m)?(?:so)?ever": "everyone who, or name the actor",
    r"somebody|one who": "name the actor",
    r"turn(?:s|ed|ing)? away": "reject, refuse",
    r"hand(?:s|ed|ing)? back|give(?:s|n)? back|gave back|handback": "nack, or return",
    r"let(?:s|ting)? in": "authorize, has access",
    r"set(?:s|ting)? aside|put(?:s|ting)? aside": "dead-letter, or skip",
    r"withdraw(?:s|n|al|als)?": "cancel",
    r"liveness": "watchdog, or health check",
    r"beside": "next to, or compared with",
    r"pictures?": "image",
    r"stor(?:y|ies)": "model card",
    r"reckon(?:s|ed|ing)?": "calculate",
    r"anew": "again",
    r"for ever": "forever, or permanently",
    r"in (?:our|the same|plain) words": "say which text",
    r"drip(?:s|ped|ping)?": "send slowly",
    r"in place of": "instead of",
    r"nobody asked": "say what is not configured",
    r"more than one's own|of one's own": "own",
}
"""Patterns of words that this project does not use, with the words that it uses instead."""

PATTERNS = {re.compile(rf"\b(?:{pattern})\b", re.I): instead for pattern, instead in WORDS.items()}


def findings(text: str) -> Iterator[str]:
    """A sentence for each word of the list in a text."""
    text = " ".join(text.split())
    for pattern, instead in PATTERNS.items():
        for found in pattern.finditer(text):
            around = text[max(0, found.start() - 30) : found.end() + 30]
            yield f"{found[0]!r} in {around!r}: write {instead}"


def prose_of(page: str) -> str:
    """The text of a Markdown page without fenced, indented and inline code, and without the targets of links."""
    for code in (r"^```.*?^```$", r"^ {4}\S.*$", r"`[^`]+`", r"\]\([^)]+\)"):
        page = re.sub(code, " ", page, flags=re.M | re.S if "```" in code else re.M)
    return page


def words_of(source: str) -> Iterator[tuple[int, str]]:
    """The comments, strings and names of a Python file, names as separate words, with their lines.

    Old names of settings are left out: the worker must still recognise them to refuse them.
    """
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip("\"'") in RENAMED:
            continue
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            yield token.start[0], re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", token.string)


def test_documents_use_the_fields_words(root: Path) -> None:
    wrong = [
        f"{page.relative_to(root)}: {finding}"
        for page in pages_of(root)
        for finding in findings(prose_of(page.read_text()))
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", CLEAN)
def test_code_uses_the_fields_words(folder: str, root: Path) -> None:
    wrong = [
        f"{file.relative_to(root)}:{line}: {finding}"
        for file in sorted((root / folder).rglob("*.py"))
        if file != Path(__file__).resolve()
        for line, text in words_of(file.read_text())
        for finding in findings(text)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A dead letter, dead\nletters and dead-letter topics.", 0),
        ("Whoever sends a letter", 2),
        ("a predict_room", 0),
        ("memory history stories", 1),
    ],
)
def test_the_list_finds_words(text: str, found: int) -> None:
    assert len(list(findings(text))) == found


def test_names_are_read_as_words() -> None:
    [(_, first), (_, second)] = list(words_of("_DoorKeeper = door_of\n"))[:2]
    assert list(findings(first)) and list(findings(second))
