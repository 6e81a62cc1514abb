"""The look of all figures: colours and shapes for any number of names, and files that are whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helper.errors import UserError
from reporting import run_plots, style
from tests.reporting.made_up_metrics import RESULTS

ROOT = Path(__file__).resolve().parent.parent.parent


def test_pictures_are_whole_or_not_there(tmp_path):
    figure = run_plots.final_accuracy([], RESULTS)
    with pytest.raises(UserError, match=r"suffix is '\.jpg'"):
        style.save(figure, tmp_path / "x.jpg")
    assert style.save(figure, tmp_path / "new" / "x.pdf").read_bytes().startswith(b"%PDF")
    assert os.listdir(tmp_path / "new") == ["x.pdf"]


def test_any_number_of_names_get_colours_and_shapes_of_their_own():
    names = [f"method {place}" for place in range(60)]
    palette, shapes = style.colours(names), style.markers(names)
    assert len(set(palette.values())) == 60 == len({(palette[name], shapes[name]) for name in names})
    # what is no method looks the same in every figure, and takes no method's colour
    with_others = style.colours(["teacher", *names[:3], "ensemble"])
    assert (with_others["teacher"], with_others["ensemble"]) == (style.GREY, style.INK)
    assert [with_others[name] for name in names[:3]] == [palette[name] for name in names[:3]]
    assert style.ink_on("white") == style.INK and style.ink_on(style.BLUE) == "white"


@pytest.mark.parametrize("package, module", [("matplotlib", "matplotlib"), ("tensorboard", "tensorboard")])
def test_a_missing_package_is_found_before_anything_is_drawn(package, module):
    code = f"""
import sys
sys.modules["{module}"] = None  # as if it were not installed
import reporting.curves, reporting.run_plots, reporting.style as style
try:
    style.require_plots()
except style.UserError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.count("\n") == 1 and f"the package {package}" in said and "pip install -r pyt.txt" in said


def test_where_all_is_there_nothing_is_said():
    style.require_plots()
