"""Subscription filters: parses an expression on attributes into a predicate.

Grammar (Google Cloud, "Filter messages from a subscription"): `attributes:key`, `attributes.key = "v"`, `!=`,
`hasPrefix(attributes.key, "v")`, joined by AND or OR (never both without parentheses), negated by NOT or `-`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Predicate = Callable[[Mapping[str, str]], bool]

# Bytes of a filter.
LIMIT = 256

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_][A-Za-z0-9_-]*)|(!=|[:=.,()-]))', re.S)
_ESCAPE = re.compile(
    r"""\\(?:([\\"'?abfnrtv])|([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|(.?))""", re.S
)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class BadFilter(ValueError):
    """The expression is not in the grammar; the message says where."""


def parse(expression: str) -> Predicate:
    """The predicate of a filter: whether a message with these attributes is delivered. Raises BadFilter."""
    if (size := len(expression.encode())) > LIMIT:
        raise BadFilter(f"the filter is {size} bytes; at most {LIMIT} are allowed")
    parser = _Parser(expression)
    predicate = parser.expression()
    parser.end()
    return predicate


class _Parser:
    """Recursive descent over the tokens, with one method per rule."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._tokens: list[tuple[str, int]] = []
        end = 0
        while expression[end:].strip():
            match = _TOKEN.match(expression, end)
            if not match:
                raise BadFilter(f"cannot read the filter at {expression[end:].strip()[:20]!r}")
            self._tokens.append((match[match.lastindex or 0], match.start(match.lastindex or 0)))
            end = match.end()
        self._tokens.append(("", len(expression)))
        self._at = 0

    def expression(self) -> Predicate:
        terms, joins = [self._term()], set()
        while self._peek() in ("AND", "OR"):
            joins.add(self._next())
            if len(joins) > 1:
                raise BadFilter("AND and OR are mixed; group them with parentheses")
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        if "AND" in joins:
            return lambda attributes: all(term(attributes) for term in terms)
        return lambda attributes: any(term(attributes) for term in terms)

    def end(self) -> None:
        if self._peek():
            raise self._unexpected("AND, OR or the end")

    def _term(self) -> Predicate:
        if self._peek() in ("NOT", "-"):
            self._next()
            term = self._term()
            return lambda attributes: not term(attributes)
        if self._peek() == "(":
            self._next()
            inner = self.expression()
            self._expect(")")
            return inner
        if self._peek() == "hasPrefix":
            return self._has_prefix()
        return self._comparison()

    def _comparison(self) -> Predicate:
        self._expect("attributes")
        if self._peek() == ":":
            self._next()
            key = self._key()
            return lambda attributes: key in attributes
        self._expect(".")
        key, operator = self._key(), self._peek()
        if operator not in ("=", "!="):
            raise self._unexpected("= or !=")
        self._next()
        value = self._string()
        if operator == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def _has_prefix(self) -> Predicate:
        for token in ("hasPrefix", "(", "attributes", "."):
            self._expect(token)
        key = self._key()
        self._expect(",")
        prefix = self._string()
        self._expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _key(self) -> str:
        token = self._peek()
        if token.startswith('"'):
            return self._string()
        if not token or not (token[0].isalnum() or token[0] == "_"):
            raise self._unexpected("a key")
        return self._next()

    def _string(self) -> str:
        if not self._peek().startswith('"'):
            raise self._unexpected("a string in double quotes")
        return _ESCAPE.sub(_unescaped, self._next()[1:-1])

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise self._unexpected(repr(token))
        self._next()

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _unexpected(self, wanted: str) -> BadFilter:
        token, start = self._tokens[self._at]
        found = repr(token) if token else "the end"
        return BadFilter(f"the filter has {found} at character {start + 1}, where {wanted} must be")


def _unescaped(match: re.Match[str]) -> str:
    """The character of one escape in a string literal: short, octal, hexadecimal or Unicode."""
    short, octal, hexadecimal, four, eight, unknown = match.groups()
    if unknown is not None:
        raise BadFilter(f"the filter has the unknown escape \\{unknown} in a string")
    if short:
        return _SHORT.get(short, short)
    code = int(octal, 8) if octal else int(hexadecimal or four or eight, 16)
    if code > 0x10FFFF:
        raise BadFilter(f"the filter has {match[0]} in a string, which is not a character")
    return chr(code)
