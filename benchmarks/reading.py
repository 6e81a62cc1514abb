"""What a method reads of the student, of the teacher and of a batch, found by watching it."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from helper.batch import Batch, Output

LISTS = ("maps", "preact")
WORDS = {
    "stem": "the stem's map",
    "maps": "the stage maps",
    "preact": "the maps before the ReLU",
    "embedding": "the embedding",
    "logits": "the logits",
    "averaged": "the map before pooling",
    "labels": "labels",
    "indices": "indices",
    "images": "images",
}


class Found:
    """The names that were read, in the order of the fields that have them."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self.names.setdefault(name)


class WatchedMaps(list):
    """Maps of the stages; tells which of them are asked for."""

    def __init__(self, maps: list[Tensor], name: str, found: Found):
        super().__init__(maps)
        self.name, self.found = name, found

    def __getitem__(self, place: Any) -> Any:
        one = isinstance(place, int)
        self.found.add(f"{self.name} {place % len(self) + 1}/{len(self)}" if one else self.name)
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Tensor]:
        self.found.add(self.name)
        return super().__iter__()

    def __reversed__(self) -> Iterator[Tensor]:
        self.found.add(self.name)
        return super().__reversed__()


class WatchedOutput(Output):
    """An Output that tells which of its fields are asked for."""

    found: Found
    prefix = ""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in LISTS:
            return WatchedMaps(value, self.prefix + name, self.found)
        if name in Output._fields and name != "views" and value is not None:
            self.found.add(self.prefix + name)
        return value


class WatchedBatch(Batch):
    """A Batch that tells which of its fields are asked for."""

    found: Found

    def __getattribute__(self, name: str) -> Any:
        if name in Batch._fields and name != "views":
            self.found.add(name)
        return super().__getattribute__(name)


def watched(output: Output, found: Found, prefix: str = "") -> WatchedOutput:
    """The same Output, which tells `found` what is read of it."""
    views = {name: watched(view, found, f"{name} ") for name, view in output.views.items()}
    made = WatchedOutput(*output._replace(views=views))
    made.found, made.prefix = found, prefix
    return made


def what_is_read(
    forward: Callable[[Output, Output, Batch], Any], student: Output, teacher: Output, batch: Batch
) -> dict[str, list[str]]:
    """Names of fields by whose they are, 'student', 'teacher' and 'batch', that a call asks for.

    A stage's map has its place in it, 'maps 3/3'; that of a further view the view's name, 'strong logits'.
    """
    found = {name: Found() for name in ("student", "teacher", "batch")}
    whole = WatchedBatch(*batch)
    whole.found = found["batch"]
    forward(watched(student, found["student"]), watched(teacher, found["teacher"]), whole)
    return {name: list(own.names) for name, own in found.items()}


def in_words(read: dict[str, list[str]]) -> str:
    """What a method reads, as a sentence would say it."""
    student, teacher = ([_word(name) for name in _whole(read[who])] for who in ("student", "teacher"))
    both = [word for word in student if word in teacher]
    parts = [", ".join(both)] if both else []
    for who, own in (("student", student), ("teacher", teacher)):
        if alone := [word for word in own if word not in both]:
            parts.append(f"{who}: {', '.join(alone)}")
    if read["batch"]:
        parts.append(", ".join(_word(name) for name in read["batch"]))
    return "; ".join(parts)


def _whole(names: list[str]) -> list[str]:
    """Without single maps where all maps are read."""
    return [name for name in names if name.rpartition(" ")[0] not in names]


def _word(name: str) -> str:
    view, _, field = name.rpartition(" ") if "/" not in name else ("", "", name)
    if "/" in field:
        field, place = field.split(" ")
        which, count = place.split("/")
        text = "the last stage's map" if which == count else f"the map of stage {which}"
        return text if field == "maps" else f"{text} before the ReLU"
    return f"{WORDS[field]} of the {view} view" if view else WORDS[field]
