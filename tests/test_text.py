import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.text import clip, length, narrow, number_text, one_line, plain

HOSTILE = st.text(st.sampled_from("[]/ codeCODE<>!b\n\r\t\x00\u202e\u200b\ud83d😀é"), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[code]<b>x</b>[/code]", "(code)\u2039b>x\u2039/b>(/code)"),
        ("[CoDe]", "(CoDe)"),
        ("[ / code ]", "( / code )"),
        ("[co\u200bde]", "(code)"),
        ("[co\x00de]", "(code)"),
        ("[\ncode\n]", "(\ncode\n)"),
        ("[[code]code]", "[(code)code]"),
        ("error[code 5]", "error[code 5]"),
        ("<script>", "\u2039script>"),
        ("<\x00script>", "\u2039script>"),
        ("<!-- x -->", "\u2039!-- x -->"),
        ("a < b and c <= d", "a < b and c <= d"),
        ("a\tb\r\nc\rd\u2028e", "a b\nc\nd\ne"),
        ("\u202eabc\u2066\ufeff\ud800", "abc"),
        ("Zürich 😀", "Zürich 😀"),
    ],
)
def test_a_text_loses_its_power_and_stays_readable(text: str, expected: str) -> None:
    assert plain(text) == expected


@settings(derandomize=True, max_examples=500, deadline=None)
@given(HOSTILE)
def test_plain_text_is_never_longer_and_needs_no_second_cleaning(text: str) -> None:
    clean = plain(text)

    assert plain(clean) == clean
    assert length(clean) <= length(text)
    assert "[code]" not in clean.lower()


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text(max_size=50), st.integers(0, 30))
def test_a_clipped_text_fits_and_says_so(text: str, limit: int) -> None:
    clipped = clip(text, limit)

    assert length(clipped) <= limit
    assert clipped == text or clipped.endswith("…") or limit == 0


def test_a_character_of_two_units_is_never_cut_in_half() -> None:
    assert clip("ab😀cd", 4) == "ab…"
    assert clip("ab😀cd", 5) == "ab😀…"
    assert length("ab😀cd") == 6


def test_short_columns_get_a_question_mark_for_what_they_cannot_hold() -> None:
    assert narrow("🔥🔥 Zürich ≥ 5") == "?? Zürich ≥ 5"


def test_one_line_has_no_line_end_and_nothing_invisible() -> None:
    assert one_line(" a\r\n\tb\u200b  c ") == "a b c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("31.1105", "31.1105"),
        ("97.41666666666667", "97.4167"),
        ("10000.0", "10,000"),
        ("-1234567.891", "-1,234,567.891"),
        ("0", "0"),
        ("-0.5", "-0.5"),
        ("2.147483648e9", "2,147,483,648"),
        ("0.00001234", "1.23e-05"),
        ("12345678901234567890", "12345678901234567890"),
        ("12.7m", "12.7m"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("$25.00", "$25.00"),
        ("", ""),
    ],
)
def test_a_number_is_told_without_noise(text: str, expected: str) -> None:
    assert number_text(text) == expected
