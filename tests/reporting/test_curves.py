"""Curves of one run or of several, and the schedule of the online weight."""

import pytest

from helper.errors import UserError
from helper.results import write_metrics
from modreduce.schedule import online_weight
from reporting.curves import curves_figure, online_schedule_figure, short_names, weights_figure
from tests.reporting.made_up_metrics import RESULTS, made_up_rows


def lines(figure) -> dict[str, tuple[list, list]]:
    """The lines of a figure with a legend entry of their own, or by their order."""
    found = {}
    for place, line in enumerate(figure.axes[0].get_lines()):
        text = line.get_label()
        found[str(place) if text.startswith("_") else text] = (list(line.get_xdata()), list(line.get_ydata()))
    return found


def test_the_schedule_is_drawn_as_steps_of_the_formula():
    weights = [online_weight(epoch, 240) for epoch in range(240)]
    figure = online_schedule_figure(weights)
    values, edges, _ = figure.axes[0].patches[-1].get_data()
    assert values[0] == pytest.approx(0.01 * 70 ** (1 / 24)) and values[-1] == pytest.approx(0.7)
    assert len(set(values.round(12))) == 24 and len(edges) == 241


def test_curves_of_several_runs_are_told_apart(tmp_path):
    folders = [tmp_path / name for name in ("S_a_T_b_none_trial_1", "S_a_T_b_wavg_trial_1")]
    for folder in folders:
        write_metrics(folder / "metrics.csv", made_up_rows(2))
        RESULTS.write(folder / "results.json")
    drawn = lines(curves_figure(folders, ["kd", "ensemble"]))
    assert list(drawn) == ["none: KD", "none: ensemble", "wavg: KD", "wavg: ensemble"]
    assert drawn["wavg: KD"] == ([1, 2], [8.0, 16.0])
    with pytest.raises(UserError, match="--students rkd is in none"):
        curves_figure(folders, ["rkd"])
    assert short_names(["x", "x"])[0] == ["x (1)", "x (2)"]


def test_curves_of_one_run_are_told_apart_by_its_students_before_it_has_results(tmp_path):
    write_metrics(tmp_path / "metrics.csv", made_up_rows(2))
    assert list(lines(curves_figure([tmp_path]))) == ["kd", "crd", "semckd", "ensemble"]


def test_the_weights_of_an_ensemble_are_drawn_if_it_has_any(tmp_path):
    write_metrics(tmp_path / "metrics.csv", made_up_rows(2))
    RESULTS.write(tmp_path / "results.json")
    assert list(lines(weights_figure(tmp_path))) == ["KD", "CRD", "SemCKD", "equal (1/3)"]
    write_metrics(tmp_path / "metrics.csv", made_up_rows(2, online=False))
    assert weights_figure(tmp_path) is None
