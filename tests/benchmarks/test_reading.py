"""What a method reads is found by watching it, and said in words."""

import pytest
import torch

from benchmarks.reading import in_words, what_is_read
from helper.batch import Batch, Output
from tests.distiller_zoo.materials import STUDENT, TEACHER, output

BATCH = Batch(torch.zeros(8, 3, 32, 32), torch.arange(8), torch.arange(8))


def seen(name: str, shapes: tuple) -> Output:
    own = output(shapes, name)
    return own._replace(views={"strong": output(shapes, f"strong {name}")})


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda s, t, b: s.logits + t.logits, "the logits"),
        (
            lambda s, t, b: (s.embedding, t.logits, b.labels),
            "student: the embedding; teacher: the logits; labels",
        ),
        (lambda s, t, b: (s.maps[-1], t.maps[2]), "the last stage's map"),
        (lambda s, t, b: (s.maps[1], t.maps[1]), "the map of stage 2"),
        (lambda s, t, b: list(zip(s.maps, reversed(t.maps), strict=True)), "the stage maps"),
        (lambda s, t, b: (s.maps[-2:], t.maps[-2:], s.maps[0]), "the stage maps"),
        (
            lambda s, t, b: ([*s.maps], [*t.preact]),
            "student: the stage maps; teacher: the maps before the ReLU",
        ),
        (
            lambda s, t, b: (s.views["strong"].logits, t.views["strong"].logits, b.indices),
            "the logits of the strong view; indices",
        ),
        (lambda s, t, b: len(s.maps), ""),
    ],
)
def test_what_is_read_in_words(forward, words):
    read = what_is_read(forward, seen("s", STUDENT), seen("t", TEACHER), BATCH)
    assert in_words(read) == words


def test_what_is_watched_gives_the_values_themselves():
    student = seen("s", STUDENT)
    kept = []
    what_is_read(lambda s, t, b: kept.extend([s.logits, s.maps[0], b.labels]), student, student, BATCH)
    assert kept[0] is student.logits and kept[1] is student.maps[0] and kept[2] is BATCH.labels
