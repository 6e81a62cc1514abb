"""A folder is there with all its files, or not at all."""

import os
import sys
from pathlib import Path

import pytest

from helper.errors import UserError
from helper.files import check_new_folder, new_folder
from helper.packages import missing, require


def fill(place):
    (place / "a").write_text("1")
    (place / "b").write_text("2")


def test_a_folder_gets_its_name_once_it_is_whole(tmp_path):
    out = tmp_path / "above/out"
    with new_folder(out) as place:
        fill(place)
        assert not out.exists() and place.parent == out.parent
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_after_an_error_nothing_stays_behind(raised, tmp_path):
    with pytest.raises(raised), new_folder(tmp_path / "above/out") as place:
        fill(place)
        raise raised
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_stays_the_same(tmp_path, monkeypatch):
    """It may be mounted, or the folder in which the command was started."""
    before = os.stat(tmp_path).st_ino
    monkeypatch.chdir(tmp_path)
    with new_folder(Path(".")) as place:
        fill(place)
    assert os.stat(tmp_path).st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_with_anything_in_it_is_refused(tmp_path):
    check_new_folder(tmp_path, "--out")
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match=r"--out: .* is not empty \(x is in it\): name a new folder"):
        check_new_folder(tmp_path, "--out")
    with pytest.raises(UserError, match="is a file, not a folder"):
        check_new_folder(tmp_path / "x", "--out")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert missing(["tqdm", "numpy", "no_such_package"]) == ["tqdm", "no_such_package"]
    require(["numpy"], "this")
    with pytest.raises(UserError) as error:
        require(["numpy", "tqdm"], "this")
    assert str(error.value) == "this needs the package tqdm, which is missing: sh scripts/setup.sh extra"
    with pytest.raises(UserError, match="the packages tqdm, no_such_package, which are missing"):
        require(["tqdm", "no_such_package"], "this")
