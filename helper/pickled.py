"""Numbers of numpy's in a pickle, and which entries are no plain values, found without running any."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helper.arguments import SETTINGS_OF_PUBLISHED_FILES

HEADERS = 3  # pickles that stand before the content in the format before PyTorch 1.6
SETTINGS = f"{SETTINGS_OF_PUBLISHED_FILES.__module__}.{SETTINGS_OF_PUBLISHED_FILES.__qualname__}"
PLAIN = (SETTINGS, "_codecs.encode")
PLAIN_NUMPY = "?bBhHiIlLqQefdFDU"  # numpy's codes of the types of which a checkpoint may have a single value
PLAIN_MODULES = ("torch._utils", "torch", "torch.storage", "numpy.core.multiarray", "numpy._core.multiarray")
DICTS = ("collections.defaultdict", "collections.Counter")
LONGEST_NAME = 100
PROTOCOL = 2  # of pickles that torch.save writes, unless it is asked for another


class NumpyType:
    """Stands for numpy's type of a single number or word, which a pickle makes of a code such as 'f8'.

    Nothing else of what a pickle says of a type reaches numpy but its order of bytes. Raises
    pickle.UnpicklingError for every other type, such as one of objects.
    """

    def __init__(self, code: str, *flags: bool):
        found = np.dtype(code) if isinstance(code, str) else None
        if found is None or found.char not in PLAIN_NUMPY:
            raise pickle.UnpicklingError(f"numpy type {code!r}")
        self.type = found

    def __setstate__(self, state: tuple) -> None:
        self.type = self.type.newbyteorder(state[1])


def numpy_number(kind: NumpyType, value: bytes) -> Any:
    """Python's number or word for a single one of numpy's, from the bytes that it was pickled as."""
    if not isinstance(kind, NumpyType) or not isinstance(value, bytes):
        raise pickle.UnpicklingError("no number of numpy's")
    return np.frombuffer(value, kind.type, count=1)[0].item()


# for torch.serialization.safe_globals, by the names that numpy's versions give them
NUMPY_NUMBERS = [
    (NumpyType, "numpy.dtype"),
    (numpy_number, "numpy.core.multiarray.scalar"),
    (numpy_number, "numpy._core.multiarray.scalar"),
]


class Stand:
    """Stands for an object of a pickle, whose class is not imported: what it was made of, as plain values."""

    name = ""

    def __new__(cls, *arguments: Any, **named: Any) -> "Stand":
        made = super().__new__(cls)
        made.parts = [*arguments, *named.values()]
        made.entries = {}
        return made

    def __init__(self, *arguments: Any, **named: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.parts.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, value: Any) -> None:
        self.parts.append(value)

    def extend(self, values: Any) -> None:
        self.parts.extend(values)

    add = append


class Inspector(pickle.Unpickler):
    """Reads a pickle with a Stand for every class and function in it, so that nothing of it is run."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return type(name, (Stand,), {"name": f"{module}.{name}".removeprefix("builtins.")})

    def persistent_load(self, key: Any) -> Any:
        """None for a tensor's memory; a network's class, which the older format keeps with its source."""
        return key[1] if key[:1] == ("module",) else None


def inspected(path: Path) -> Any:
    """The content of a file of torch.save, with Stands in it; raises many errors where it is damaged."""
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
                return Inspector(io.BytesIO(archive.read(name))).load()
        file.seek(0)
        for _ in range(HEADERS):
            pickle_of_header = Inspector(file)
            pickle_of_header.load()
        return Inspector(file).load()


def objects_in(content: Any, entry: str = "") -> Iterator[tuple[str, str]]:
    """(entry, name) of every object in the content that is no plain value; an entry is like 'opt.path'."""
    if isinstance(content, type) and issubclass(content, Stand):
        if not _is_plain(content.name):
            yield entry, content.name
    elif isinstance(content, Stand):
        if not _is_plain(content.name) and not _is_numpy_type(content):
            yield entry, content.name
            return
        for part in content.parts:
            yield from objects_in(part, entry)
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from objects_in(key, entry)
            yield from objects_in(value, f"{entry}.{key}" if entry else str(key))
    elif isinstance(content, (list, tuple, set, frozenset)):
        for value in content:
            yield from objects_in(value, entry)


def _is_plain(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return name in PLAIN or (module in PLAIN_MODULES and last != "_reconstruct")


def _is_numpy_type(content: Stand) -> bool:
    """Whether an object is the type of a number or a word of numpy's, said by its code, such as 'f8'."""
    if content.name != "numpy.dtype" or not isinstance(content.parts[0], str):
        return False
    return np.dtype(content.parts[0]).char in PLAIN_NUMPY


def how_to_convert(path: Path) -> str | None:
    """Why a file is not read, which entry is at fault, and two lines of Python that convert it; None if
    nothing is found.
    """
    try:
        content = inspected(path)
        found = list(dict.fromkeys(objects_in(content)))
        protocol = _protocol(path)
    except Exception:  # a damaged pickle fails in many ways, and is then no file to be converted
        return None
    if not found and protocol <= PROTOCOL:
        return None
    if not found:
        why, kept = f"is pickled by protocol {protocol}, which is not read safely", "content"
    else:
        entry, name = found[0]
        where = f" in its entry {entry[:LONGEST_NAME]!r}" if entry else ""
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        why, kept = f"holds code or objects ({name}{where}{more}), not just weights", _plain_content(content)
    new = str(path.with_name(f"{path.stem}_plain.pth"))
    return (
        f"{why}: it was not run; if you trust its author, convert it with these two lines of Python: "
        f"`import torch; content = torch.load({str(path)!r}, map_location='cpu', weights_only=False)` and "
        f"`torch.save({kept}, {new!r})`"
    )


def _plain_content(content: Any) -> str:
    """The expression that makes a content of plain values of one with objects in it."""
    if not isinstance(content, dict):
        return "{'model': content.state_dict()}"
    changed = {key: _plain_form(key, content[key]) for key in content if any(objects_in(content[key]))}
    dropped = [key for key, form in changed.items() if form is None]
    kept = f"**{{k: v for k, v in content.items() if k not in {dropped}}}" if dropped else "**content"
    forms = "".join(f", {key!r}: {form}" for key, form in changed.items() if form is not None)
    return f"{{{kept}{forms}}}"


def _protocol(path: Path) -> int:
    """The protocol that a file's pickle says it follows."""
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
                start = archive.read(name)[:2]
        else:
            file.seek(0)
            start = file.read(2)
    return start[1] if start[:1] == pickle.PROTO else 0


def _plain_form(key: Any, value: Any) -> str | None:
    """The expression that makes a plain entry of one that is not; None if it is to be left out."""
    if isinstance(value, Stand) and value.name in DICTS:
        return f"dict(content[{key!r}])"
    if isinstance(value, Stand) and any(
        isinstance(part, dict) and "_modules" in part for part in value.parts
    ):
        return f"content[{key!r}].state_dict()"
    return None
