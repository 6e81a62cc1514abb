"""Types of flags: what they take, and the line with which they refuse the rest."""

import argparse

import pytest

from helper.arguments import fraction, non_negative_float, non_negative_int, positive_float, positive_int


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (positive_int, "3", 3),
        (non_negative_int, "0", 0),
        (positive_float, "1e-3", 1e-3),
        (non_negative_float, "0", 0.0),
        (fraction, "0.5", 0.5),
        (fraction, "0", 0.0),
    ],
)
def test_what_is_allowed_becomes_a_number(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(
    "kind, texts",
    [
        (positive_int, ["0", "-1", "1.5", "a", ""]),
        (non_negative_int, ["-1", "1.5", "nan"]),
        (positive_float, ["0", "-1", "nan", "inf", "a"]),
        (non_negative_float, ["-0.1", "nan", "inf"]),
        (fraction, ["1", "-0.1", "nan", "half"]),
    ],
)
def test_what_is_not_allowed_is_named_in_one_line(kind, texts):
    for text in texts:
        with pytest.raises(
            argparse.ArgumentTypeError, match=r"is not a (whole )?number (from|above)"
        ) as error:
            kind(text)
        assert text in str(error.value) and "\n" not in str(error.value)
