"""Subscription filters: which messages pass and which expressions are refused, by the documented grammar."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from hypothesis import given
from hypothesis import strategies as st

from infra.local.pubsub.filter import BadFilter, parse
from tests.brokers import Cloud
from tests.service.endpoint import Endpoint
from tests.waiting import pull, until

PASSES = [
    ("attributes:name", {"name": ""}, True),
    ("attributes:name", {"other": "x"}, False),
    ("NOT attributes:name", {"other": "x"}, True),
    ('attributes.name = "com"', {"name": "com"}, True),
    ('attributes.name = "com"', {"name": "Com"}, False),
    ('attributes.name != "com"', {"name": "net"}, True),
    ('attributes.name != "com"', {}, True),
    ('attributes.name != "com"', {"name": "com"}, False),
    ('hasPrefix(attributes.name, "co")', {"name": "com"}, True),
    ('hasPrefix(attributes.name, "co")', {"name": "c"}, False),
    ('hasPrefix(attributes.name, "")', {}, False),
    ('NOT hasPrefix(attributes.name, "co")', {}, True),
    ('attributes."iana.org/language_tag" = "en"', {"iana.org/language_tag": "en"}, True),
    ('attributes:"iana.org/language_tag" AND NOT attributes.name = "com"', {"iana.org/language_tag": ""}, True),
    ('attributes.name = "com" AND -attributes:"x/y"', {"name": "com"}, True),
    ('attributes.name = "com" AND -attributes:"x/y"', {"name": "com", "x/y": ""}, False),
    ('attributes:a AND (attributes.b = "1" OR attributes.b = "2")', {"a": "", "b": "2"}, True),
    ('attributes:a AND (attributes.b = "1" OR attributes.b = "2")', {"b": "2"}, False),
    ("attributes:a OR attributes:b OR attributes:c", {"c": ""}, True),
    ("NOT NOT attributes:a", {"a": ""}, True),
    ("NOT (attributes:a AND attributes:b)", {"a": ""}, True),
    (' ( attributes : a ) AND attributes . b="1"', {"a": "", "b": "1"}, True),
    (r'attributes:"\u307F\x41\101"', {"みAA": ""}, True),
    (r'attributes.name = "a\"b\\c"', {"name": 'a"b\\c'}, True),
    ("attributes:key-with_both", {"key-with_both": ""}, True),
]

REFUSED = [
    "foo",
    "attributes",
    "attributes.name",
    'attributes.name == "com"',
    "attributes.name = com",
    "attributes.name = 'com'",
    '"com" = attributes.name',
    "attributes.name = attributes.website",
    'attributes:"a" AND attributes.b = "1" OR attributes.c = "2"',
    'attributes.name = "com" AND ("net" OR "org")',
    "attributes:a AND",
    "attributes:a attributes:b",
    "attributes:a and attributes:b",
    "(attributes:a",
    "attributes:a)",
    "NOT",
    r"attributes:\u307F",
    r'attributes:"\q"',
    'attributes:"open',
    'hasPrefix(attributes:a, "x")',
    'hasPrefix(attributes.a "x")',
    'hasSuffix(attributes.a, "x")',
    'attributes.a > "1"',
    'attributes.a = "' + "x" * 256 + '"',
]


@pytest.mark.parametrize(("expression", "attributes", "passes"), PASSES)
def test_a_filter_passes(expression: str, attributes: dict[str, str], passes: bool) -> None:
    assert parse(expression)(attributes) is passes


@pytest.mark.parametrize("expression", REFUSED)
def test_a_bad_filter_is_refused_with_the_reason(expression: str) -> None:
    with pytest.raises(BadFilter, match=r"filter|parentheses"):
        parse(expression)


@given(st.text(max_size=40) | st.text(alphabet='attributes:.="()AND OR-NOThasPrefix\\ux1 ', max_size=60))
def test_any_filter_text_is_parsed_or_refused(expression: str) -> None:
    try:
        predicate = parse(expression)
    except BadFilter:
        return
    assert predicate({"a": "b"}) in (True, False)


@given(st.text(max_size=20))
def test_a_quoted_value_matches_itself(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'attributes.a = "{quoted}"')({"a": value})


def test_filtered_pull(cloud: Cloud) -> None:
    topic = cloud.topic()
    subscription = cloud.subscription(topic, filter='attributes.reply_to = "me"')
    for to in ("you", "me", "them"):
        cloud.publisher.publish(topic, to.encode(), reply_to=to).result(10)
    cloud.publisher.publish(topic, b"nobody").result(10)
    assert [each.message.data for each in pull(cloud, subscription, 4, 0.5)] == [b"me"]


def test_filtered_push(cloud: Cloud, endpoint: Endpoint) -> None:
    topic = cloud.topic()
    cloud.subscription(topic, filter="NOT attributes:skip", push_config={"push_endpoint": endpoint.url})
    cloud.publisher.publish(topic, b"x", skip="1").result(10)
    sent = cloud.publisher.publish(topic, b"y").result(10)
    assert until(lambda: endpoint.pushes)
    assert not until(lambda: len(endpoint.pushes) > 1, 0.3)
    assert endpoint.pushes[0].body["message"]["messageId"] == sent


def test_a_bad_filter_is_an_invalid_argument(cloud: Cloud) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="filter"):
        cloud.subscription(cloud.topic(), filter="attributes.a == 1")
