# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import accumulate, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import Answer, ApiError
from airflow_provider_aigen.core.service import wire
from airflow_provider_aigen.core.service.shapes import UnknownShape
from airflow_provider_aigen.core.service.wire import (
    MalformedAnswer,
    is_contract,
    parse_answer,
    parse_retry_after,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SENTENCES = {
    "the answer is not UTF-8",
    "the answer is not JSON",
    "the answer is not a JSON object",
    "the answer has nothing of the API's answers",
    "the answer nests deeper than 64 levels or does not close them",
}


def pages(text: str | bytes, status: int = 200):
    return parse_answer(status, text.encode() if isinstance(text, str) else text).pages


def errors(text: str):
    return parse_answer(400, text.encode()).errors


def nested(levels: int) -> bytes:
    """An answer that nests ``levels`` deep: the object, the list of pages and the page are three of them."""
    inside = levels - 3
    return b'{"data":[{"f":' + b"[" * inside + b"]" * inside + b"}]}"


def test_pages_keep_their_order_and_a_null_page_is_empty():
    assert pages('{"data": [{"a": 1}, null, {}, {"b": 2}]}') == ({"a": 1}, {}, {}, {"b": 2})


@pytest.mark.parametrize("text", ['{"data": null}', '{"data": []}', '{"data": {}}', '\ufeff{"data": []}'])
def test_an_answer_without_pages(text):
    answer = parse_answer(200, text.encode())
    assert (answer.status, answer.pages, answer.errors) == (200, (), ())


@pytest.mark.parametrize("data", ['"text"', '{"a": {}}', "[1]", '[{"a": 1}, "text"]', "7", "NaN", "[[{}]]"])
def test_data_of_another_shape_is_unknown_on_a_success_and_left_out_beside_an_error(data):
    text = f'{{"data": {data}, "error": [{{"code": "1001"}}]}}'.encode()
    with pytest.raises(UnknownShape, match="`data` is "):
        parse_answer(206, text)
    answer = parse_answer(400, text)
    assert (answer.pages, answer.errors) == ((), (ApiError("1001"),))


@pytest.mark.parametrize(("status", "success"), [(199, False), (200, True), (299, True), (300, False)])
def test_a_success_is_a_2xx(status, success):
    assert (read(status, b'{"message": "x"}') is None) == success


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("null", ()),
        ("[]", ()),
        ("[null]", ()),
        ('"text"', ()),
        ('[null, {"code": "a", "message": "m"}]', (ApiError("a", "m"),)),
        ('{"code": "a"}', (ApiError("a"),)),
        ('[{"code": 1001, "message": null}]', (ApiError("1001"),)),
        ('[{"code": null, "message": "m"}]', (ApiError(None, "m"),)),
        ('[{"code": true}, {"code": 1.5}, {"code": ""}, {"code": ["x"]}]', (ApiError(None),) * 4),
        ('[{"code": "b", "message": {"x": 1}}, {"code": "a"}]', (ApiError("b"), ApiError("a"))),
        ("[7, [], {}]", (ApiError(None),)),
    ],
)
def test_errors_of_any_shape(error, expected):
    found = errors(f'{{"error": {error}}}')
    assert found == expected
    assert [item.message for item in found] == [item.message for item in expected]


def test_a_code_is_kept_up_to_256_characters_and_a_list_of_errors_up_to_1000():
    assert errors(json.dumps({"error": [{"code": "c" * 256}, {"code": "c" * 257}]})) == (
        ApiError("c" * 256),
        ApiError(None),
    )
    assert len(errors(json.dumps({"error": [None] + [{"code": str(n)} for n in range(1500)]}))) == 1000


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b'{"data": [}', b"\xef\xbb\xbf", b"{} {}", b"{'a': 1}", b'{"a"']
)
def test_not_json(body):
    with pytest.raises(MalformedAnswer) as raised:
        parse_answer(200, body)
    assert str(raised.value) in SENTENCES


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"NaN"])
def test_not_an_object(body):
    with pytest.raises(MalformedAnswer, match="not a JSON object"):
        parse_answer(200, body)


@pytest.mark.parametrize("body", [b"{}", b'{"message": "ok"}', b'{"data": "down"}', b'{"result": 7, "ok": true}'])
def test_the_json_of_something_else(body):
    with pytest.raises(MalformedAnswer, match="nothing of the API's"):
        parse_answer(200, body)
    assert parse_answer(400, body) == Answer(400, ())


@pytest.mark.parametrize(
    "body", [b'{"data": [{"a": "\xff"}]}', b'{"data": [{"a": "\xed\xa0\x80"}]}', b"\xff\xfe{\x00}\x00"]
)
def test_not_utf_8(body):
    with pytest.raises(MalformedAnswer, match="not UTF-8"):
        parse_answer(200, body)


def test_64_levels_are_read_and_65_are_not():
    assert parse_answer(200, nested(64)).pages
    with pytest.raises(MalformedAnswer, match="deeper than 64"):
        parse_answer(200, nested(65))


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'[{"a":'])
def test_100_000_levels_are_refused_without_recursion(unit):
    with pytest.raises(MalformedAnswer, match="deeper than 64"):
        parse_answer(200, unit * 100_000)
    with pytest.raises(MalformedAnswer):
        parse_answer(200, b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize("text", ["[" * 100, '\\"[[[[' * 30, "\\\\", "]}]}", '\\\\\\"{'])
def test_brackets_in_strings_do_not_nest(text):
    body = f'{{"data": [{{"a": "{text}"}}]}}'
    assert pages(body) == ({"a": json.loads(f'"{text}"')},)


def test_a_million_escaped_quotes_in_an_unterminated_string_are_read_once():
    with pytest.raises(MalformedAnswer):  # quadratic, it would not end
        parse_answer(200, b'{"a": "' + b'\\"' * 1_000_000)


def test_a_number_stays_one_up_to_300_digits():
    (page,) = pages(f'{{"data": [{{"a": {"9" * 300}, "b": {"9" * 301}}}]}}')
    assert page == {"a": 10**300 - 1, "b": "9" * 301}


def test_numbers_of_5000_digits_are_harmless():
    digits = "9" * 5000
    (page,) = pages(f'{{"data": [{{"a": {digits}, "b": -{digits}, "c": 0.{digits}, "d": 1e{digits}, "e": 12}}]}}')
    assert page == {"a": digits, "b": f"-{digits}", "c": 1.0, "d": math.inf, "e": 12}
    assert errors(f'{{"error": [{{"code": {digits}}}]}}') == (ApiError(None),)


def test_nan_and_infinity_are_tolerated():
    (page,) = pages('{"data": [{"a": NaN, "b": Infinity, "c": -Infinity}]}')
    assert math.isnan(page["a"])
    assert (page["b"], page["c"]) == (math.inf, -math.inf)


def test_lone_surrogates_become_storable_and_pairs_stay():
    (page,) = pages('{"data": [{"\\ud800k": "x\\udfffy", "list": ["\\uD83D\\uDE00", {"a": "\\uDC00"}]}]}')
    assert page == {"\ufffdk": "x\ufffdy", "list": ["\U0001f600", {"a": "\ufffd"}]}
    (error,) = errors('{"error": [{"code": "\\ud800", "message": "\\udc00"}]}')
    assert (error.code, error.message) == ("\ufffd", "\ufffd")


def test_nul_and_raw_control_characters_in_strings_are_kept():
    assert pages(b'{"data": [{"a": "x\\u0000y", "b": "x\x00\ny"}]}') == ({"a": "x\x00y", "b": "x\x00\ny"},)


def test_of_duplicate_keys_the_last_one_stands():
    assert pages('{"data": [], "data": [{"a": 1, "a": 2}]}') == ({"a": 2},)


def read(status: int, body: bytes) -> Answer | None:
    """The answer; None where it is malformed, in words of this package only."""
    try:
        answer = parse_answer(status, body)
    except UnknownShape:
        return None
    except MalformedAnswer as malformed:
        message, shows_its_cause = str(malformed), not malformed.__suppress_context__ and malformed.__context__
    else:
        return answer
    assert message in SENTENCES
    assert not shows_its_cause
    return None


def storable(value) -> bool:
    return json.dumps(value, ensure_ascii=False).encode("utf-8") is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()), st.integers(0, 999))
def test_any_bytes_are_an_answer_or_malformed_in_our_own_words(body, status):
    answer = read(status, body)
    assert answer is None or storable(answer.pages)


TOKENS = ["{", "}", "[", "]", ",", ":", '"a"', '"\\ud800"', '"\\ud83d\\ude00"', '"\x01"', '"é"', '"\\/\\u0000"']
TOKENS += ["1", "-0", "-0.0", "01", "1.", "1.5", "1e5", "1e400", "12345678901234567890123", "NaN", "true", "null", " "]


@given(
    st.lists(st.sampled_from(TOKENS), max_size=9).map(lambda tokens: "".join(tokens).encode())
    | st.binary(max_size=9)
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
)
def test_what_the_quick_parser_takes_both_read_alike(body):
    try:
        quick = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert repr(quick) == repr(json.loads(body, strict=False))


@given(JSON, JSON, st.integers(0, 999))
def test_any_data_and_error_are_an_answer_or_malformed(data, error, status):
    answer = read(status, json.dumps({"data": data, "error": error}).encode())
    assert answer is not None or 200 <= status < 300
    if answer is not None:
        assert storable(answer.pages)
        assert storable([[item.code, item.message] for item in answer.errors])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("3600", 3600.0),
        ("3601", None),
        ("-1", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("๕", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("9" * 400, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 14:00:30 +0200", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 22 Nov 2026 13:00:00 GMT", 3600.0),
        ("Sun, 22 Nov 2026 13:00:01 GMT", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT (" + "x" * 32 + ")", 30.0),  # 64 characters
        ("Sun, 22 Nov 2026 12:00:30 GMT (" + "x" * 33 + ")", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9 ]{2,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{0,9} ?[A-Z+0-9-]{0,6}"))
def test_any_retry_after_is_none_or_at_most_an_hour(value):
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@given(st.integers(0, 3600))
def test_a_date_says_the_same_as_its_seconds(seconds):
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(date, NOW) == parse_retry_after(str(seconds), NOW) == float(seconds)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), (" 1.5 ", 1.5), ("3601", None), ("", None), (None, None)])
def test_a_retry_after_in_seconds_needs_no_time(value, seconds):
    assert parse_retry_after(value, None) == seconds


def test_a_date_without_the_time_says_nothing():
    assert parse_retry_after("Sun, 22 Nov 2026 12:00:30 GMT", None) is None


@pytest.mark.parametrize(
    ("body", "contract"),
    [
        (b'{"status": "success", "error": [], "data": []}', True),
        (b'{"status": "error"}', True),
        (b'{"error": []}', True),
        (b'\xef\xbb\xbf{"error": [{"code": "1001"}]}', True),
        (b'{"status": "Error"}', False),
        (b'{"status": ["error"]}', False),
        (b'{"error": {"code": 403}}', False),
        (b'{"error": "forbidden", "data": []}', False),
        (b"{}", False),
        (b'["error"]', False),
        (b'"error"', False),
        (b"<html>", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_the_endpoint_itself_has_a_status_or_a_list_of_errors(body, contract):
    assert is_contract(body) is contract


@given(st.binary() | JSON.map(lambda value: json.dumps({"error": value, "status": value}).encode()))
def test_any_bytes_are_the_endpoints_own_or_not(body):
    assert is_contract(body) in (True, False)


def test_the_depth_is_seen_as_by_counting():
    """On every Python: up to 3.11.4, nested possessive quantifiers matched what they should not."""

    def balanced(brackets: bytes) -> bool:
        depths = list(accumulate(1 if one == ord("[") else -1 for one in brackets))
        return min(depths) >= 0 and max(depths) <= wire.MAX_DEPTH and depths[-1] == 0

    short = [bytes(some) for length in range(1, 11) for some in product(b"[]", repeat=length)]
    deep = [b"[" * opened + b"]" * closed for opened in range(62, 67) for closed in range(62, 67)]
    wrong = [one for one in short + deep if bool(wire._BALANCED.fullmatch(one)) != balanced(one)]
    assert wrong == []
