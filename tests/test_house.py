"""The house stands on its floors: no import climbs, no file and no folder grows too large."""

import ast
from pathlib import Path

import pytest

from distiller_zoo import distiller_dict
from helper.provenance import PROJECT_VERSION

ROOT = Path(__file__).resolve().parent.parent
# every room with the rooms that it may import; a room may always import itself
FLOORS = (
    ("helper",),
    ("models", "dataset", "crd", "reporting"),
    ("engine", "distiller_zoo"),
    ("modreduce", "exporting"),
    ("scripts", "examples"),
    ("benchmarks",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
COMMANDS = {path.stem for path in ROOT.glob("*.py")}
LONGEST_FILE = 300
LARGEST_SHARE = 1 / 5
LINES_PER_METHOD = 140


def modules() -> list[Path]:
    """Every Python file of the rooms."""
    return sorted(path for room in LEVEL for path in (ROOT / room).rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    """The rooms and commands that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
    return found & (LEVEL.keys() | COMMANDS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_climbs(path: Path) -> None:
    """A room imports itself and the floors below it; commands are imported by scripts alone."""
    room = path.relative_to(ROOT).parts[0]
    for other in imported_rooms(path) - {room}:
        if other in COMMANDS and other not in LEVEL:
            assert room in ("scripts", "benchmarks", "examples"), f"{path} imports the command {other}"
        else:
            assert LEVEL[other] < LEVEL[room], f"{path} imports {other}, which is no floor below {room}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_no_folder_is_half_of_the_house() -> None:
    """No room holds more than a fifth of the code, but for the zoo, which grows with the number of its
    methods.
    """
    lines = {
        room: sum(len(path.read_text().splitlines()) for path in (ROOT / room).rglob("*.py"))
        for room in LEVEL
    }
    methods = lines.pop("distiller_zoo")
    commands = sum(len((ROOT / f"{name}.py").read_text().splitlines()) for name in COMMANDS)
    whole = sum(lines.values()) + commands
    largest = max(lines, key=lines.get)
    assert lines[largest] <= LARGEST_SHARE * whole, f"{largest} has {lines[largest]} of {whole} lines"
    assert methods <= LINES_PER_METHOD * len(distiller_dict)


def test_the_version_is_said_once() -> None:
    assert f'version = "{PROJECT_VERSION}"' in (ROOT / "pyproject.toml").read_text()
