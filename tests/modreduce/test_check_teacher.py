"""When a teacher is warned of: near chance, whatever the number of classes."""

import pytest

from modreduce.teacher import check_teacher


@pytest.mark.parametrize(
    ("accuracy", "classes", "near"),
    [
        (0.25, 100, True),
        (1.9, 100, True),
        (2.1, 100, False),
        (19.0, 10, True),
        (21.0, 10, False),
        (52.0, 2, True),
        (95.0, 2, False),
    ],
)
def test_a_teacher_near_chance_is_warned_of(accuracy, classes, near):
    line = check_teacher(accuracy, classes)
    assert (line is not None) == near
    if near:
        assert f"{accuracy:.2f} %" in line and f"guessing gives {100 / classes:.2f} %" in line
        assert "\n" not in line and "classes in another order" in line
