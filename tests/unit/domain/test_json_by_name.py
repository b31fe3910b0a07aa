"""J19: the families of a well-known collection of JSON texts, made here: what must be read, what must not, our choices.

Every text is wrapped as the value of an object's key, or stands alone where it is about the whole.
"""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import LineRefused, check_json
from tests.fuzz.mutation import JSON_SPICES

READ = {
    "array_empty": b"[]",
    "array_with_null": b"[null]",
    "array_heterogeneous": b'[null,1,"1",{}]',
    "array_with_several_null": b"[1,null,null,null,2]",
    "array_spaces_around": b" [ ] ",
    "array_with_newline": b"[1\n]",
    "array_arrays": b"[[],[[]]]",
    "number_zero": b"0",
    "number_negative_zero": b"-0",
    "number_minus_one": b"-1",
    "number_real": b"123.456789",
    "number_exponent": b"1e2",
    "number_exponent_capital_plus": b"1E+2",
    "number_exponent_minus": b"1E-2",
    "number_zero_exponent": b"0e1",
    "number_tiny": b"-0.000000000000000000000001",
    "number_thirty_two_digits": b"9" * 32,
    "object_empty": b"{}",
    "object_empty_key": b'{"":0}',
    "object_escaped_null_like_key": b'{"a\\\\u0000":1}',
    "object_long_keys": b'{"' + b"x" * 1000 + b'":1}',
    "object_with_newlines": b'{\n"a":"b"\n}',
    "string_empty": b'""',
    "string_escapes": b'"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    "string_unicode_escape": b'"\\u0060\\u012a\\u12AB"',
    "string_surrogate_pair": b'"\\uD801\\udc37"',
    "string_two_surrogate_pairs": b'"\\ud83d\\ude39\\ud83d\\udc8d"',
    "string_last_surrogates": b'"\\uDBFF\\uDFFF"',
    "string_noncharacter": b'"\xef\xbf\xbf\\uFFFE"',
    "string_utf8_of_each_length": '"a é € 😀"'.encode(),
    "string_u2028_u2029": b'"\xe2\x80\xa8\xe2\x80\xa9"',
    "string_delete": b'"\x7f"',
    "string_backslash_and_u_escaped_zero": b'"\\\\u0000"',
    "structure_true": b"true",
    "structure_false": b"false",
    "structure_null": b"null",
    "structure_whitespace": b" \t\n 1 ",
}

REFUSED = {
    "array_comma_before": b"[,1]",
    "array_comma_after": b"[1,]",
    "array_double_comma": b"[1,,2]",
    "array_just_comma": b"[,]",
    "array_just_minus": b"[-]",
    "array_missing_value": b'[   , ""]',
    "array_star": b"[*]",
    "array_unclosed": b"[1",
    "array_unclosed_comma": b"[1,",
    "array_colon": b'["":1]',
    "array_newlines_unclosed": b'["a",\n4\n,1,',
    "array_extra_close": b"[1]]",
    "array_inner_not_comma": b"[3[4]]",
    "array_spaces_vertical_tab": b'["\x0ba"\\f]',
    "number_plus": b"+1",
    "number_double_minus": b"--1",
    "number_leading_zero": b"01",
    "number_minus_leading_zero": b"-012",
    "number_dot_first": b".5",
    "number_dot_last": b"1.",
    "number_dot_exponent": b"1.e1",
    "number_minus_dot": b"-.5",
    "number_exponent_empty": b"1e",
    "number_exponent_plus_empty": b"1e+",
    "number_exponent_double": b"1ee2",
    "number_hex": b"0x1",
    "number_hex_letters": b"1A",
    "number_infinity": b"Infinity",
    "number_minus_infinity": b"-Infinity",
    "number_nan": b"NaN",
    "number_inf": b"Inf",
    "number_with_letter": b"1.2a-3",
    "number_with_space": b"1 000",
    "number_underscore": b"1_000",
    "number_full_width": "１".encode(),
    "number_expression": b"1+2",
    "number_beyond_double": b"1e999",
    "number_minus_beyond_double": b"-1e999",
    "number_huge_exponent": b"123123e100000",
    "object_bad_value": b'{"x", null}',
    "object_colon_missing": b'{"a" "b"}',
    "object_double_colon": b'{"x"::"b"}',
    "object_comma_instead_of_colon": b'{"x","b"}',
    "object_trailing_comma": b'{"id":0,}',
    "object_two_commas": b'{"a":0,,"b":1}',
    "object_key_number": b"{1:1}",
    "object_key_unquoted": b'{a:"b"}',
    "object_key_single_quoted": b"{'a':0}",
    "object_key_null": b"{null:null}",
    "object_missing_value": b'{"a":',
    "object_unterminated": b'{"a":"a',
    "object_no_colon": b'{"a"',
    "object_emoji": "{🇨🇭}".encode(),
    "object_key_twice": b'{"a":"b","a":"c"}',
    "object_key_twice_same_value": b'{"a":"b","a":"b"}',
    "object_key_twice_escaped": b'{"a":1,"\\u0061":1}',
    "object_comment": b'{"a":"b"}/**/',
    "object_comment_line": b'{"a":"b"}//',
    "object_comment_hash": b'{"a":"b"}#',
    "string_single": b'"',
    "string_single_quoted": b"'a'",
    "string_no_quotes": b"abc",
    "string_escape_x": b'"\\x00"',
    "string_escape_a": b'"\\a"',
    "string_escape_emoji": '"\\🌀"'.encode(),
    "string_escape_unfinished": b'"\\',
    "string_escaped_quote_only": b'"\\"',
    "string_unicode_unfinished": b'"\\u00A"',
    "string_unicode_capital": b'"\\U0041"',
    "string_unicode_not_hex": b'"\\u00zz"',
    "string_control_newline": b'"new\nline"',
    "string_control_tab": b'"\t"',
    "string_control_zero": b'"a\0a"',
    "string_escaped_control_zero": b'"a\\u0000a"',
    "string_lone_surrogate": b'"\\uD800"',
    "string_lone_low_surrogate": b'"\\uDC00"',
    "string_surrogates_reversed": b'"\\uDd1e\\uD834"',
    "string_surrogate_then_text": b'"\\uD800abc"',
    "string_surrogate_then_escape": b'"\\uD800\\n"',
    "string_two_high_surrogates": b'"\\uD800\\uD800\\n"',
    "string_surrogate_unfinished": b'"\\uD834\\uDd"',
    "string_key_of_half_a_pair": b'{"\\ud834":1}',
    "string_invalid_utf8": b'"\xff"',
    "string_overlong": b'"\xc0\xaf"',
    "string_overlong_of_six": b'"\xfc\x83\xbf\xbf\xbf\xbf"',
    "string_utf8_surrogate": b'"\xed\xa0\x80"',
    "string_truncated_utf8": b'"\xe0\xff"',
    "string_not_in_unicode": b'"\xf4\xbf\xbf\xbf"',
    "string_iso_latin_1": b'"\xe9"',
    "structure_empty": b"",
    "structure_capital_true": b"True",
    "structure_cut_true": b"tru",
    "structure_cut_null": b"nul",
    "structure_double": b"1 2",
    "structure_angle": b"<null>",
    "structure_ascii_art": b"[\xe2\x8d\x82]",
    "structure_form_feed": b"\x0c1",
    "structure_no_break_space": "\u00a01".encode(),
    "structure_bom_inside": b"\xef\xbb\xbf1",
    "structure_zero_after": b"1\0",
    "structure_unclosed_everything": b'[{"":' * 20,
    "structure_hundred_thousand_opening": b"[" * 100_000,
    "structure_open_array_object": b'[{"":' * 50_000,
}

WHOLE = {
    "empty": b"",
    "space": b" ",
    "bom_only": b"\xef\xbb\xbf",
    "bom_and_object": b"\xef\xbb\xbf{}",
    "utf16_le": '{"a":"é"}'.encode("utf-16-le"),
    "utf16_be_bom": b"\xfe\xff" + '{"a":"é"}'.encode("utf-16-be"),
    "array": b"[]",
    "string": b'"asd"',
    "number": b"42",
    "null": b"null",
    "two_objects": b"{}{}",
    "carriage_return": b"{}\r",
    "nested_thirty_three": b'{"a":' * 33 + b"1" + b"}" * 33,
    "number_of_thirty_three_digits": b'{"a":' + b"9" * 33 + b"}",
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_j19_what_is_json_is_read(text: bytes) -> None:
    raw = b'{"a":%b}' % text

    check_json(raw)

    assert json.loads(raw) == msgspec.json.decode(raw)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_j19_what_is_no_json_or_read_in_two_ways_is_refused(text: bytes) -> None:
    with pytest.raises(LineRefused):
        check_json(b'{"a":%b}' % text)
    with pytest.raises(LineRefused):
        check_json(text)


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_j19_a_line_is_one_object_in_plain_utf8(text: bytes) -> None:
    with pytest.raises(LineRefused):
        check_json(text)


TEXTS = st.lists(st.sampled_from([*READ.values(), *REFUSED.values(), *JSON_SPICES, b'"', b",", b":"]), max_size=8)


@given(TEXTS)
def test_what_passes_is_read_alike_by_every_decoder(pieces: list[bytes]) -> None:
    raw = b'{"a":[%b]}' % b"".join(pieces)[:2_000]

    with suppress(LineRefused):
        check_json(raw)
        assert json.loads(raw) == msgspec.json.decode(raw)
