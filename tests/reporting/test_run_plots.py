"""The pictures of a run: what is drawn, from what, and when nothing can be."""

import json
import math
import os
from dataclasses import asdict, replace

import matplotlib

from helper.results import StudentScore
from reporting import run_plots
from tests.reporting.made_up_metrics import PNG, RESULTS, made_up_rows


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_a_run_with_an_ensemble_has_five_pictures(tmp_path):
    paths = run_plots.plot_run(tmp_path, made_up_rows(2), RESULTS)
    assert {path.name for path in paths} == {
        "accuracy.png",
        "loss.png",
        "ensemble_weights.png",
        "online_weight.png",
        "final_accuracy.png",
    }
    assert sorted(os.listdir(tmp_path / "plots")) == sorted(path.name for path in paths)
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_without_an_ensemble_there_are_no_weights_to_draw(tmp_path):
    alone = made_up_rows(1, online=False, names=("alone",))
    names = {path.name for path in run_plots.plot_run(tmp_path, alone, None)}
    assert names == {"accuracy.png", "loss.png", "final_accuracy.png"}
    assert run_plots.plot_run(tmp_path / "nothing", [], None) == []
    assert not (tmp_path / "nothing").exists()


def test_the_accuracy_curves_show_train_dashed_test_solid_and_the_teacher():
    figure = run_plots.accuracy_curves(made_up_rows(5), RESULTS)
    drawn = figure.axes[0].get_lines()
    styles = [line.get_linestyle() for line in drawn]
    assert (styles.count("-"), styles.count("--"), styles.count("-.")) == (4, 3, 1)
    solid = [line for line in drawn if line.get_linestyle() == "-"]
    assert list(solid[1].get_ydata()) == [9.0, 17.0, 25.0, 33.0, 41.0]
    assert len({line.get_color() for line in solid}) == 4 and len({line.get_marker() for line in solid}) == 4
    assert legend(figure) == ["KD", "CRD", "SemCKD", "ensemble", "test", "training", "teacher (72.30)"]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("Epoch", "Top-1 accuracy (%)")


def test_losses_on_very_different_scales_get_a_logarithmic_axis():
    assert run_plots.loss_curves(made_up_rows(3), RESULTS).axes[0].get_yscale() == "log"
    one = made_up_rows(3, online=False, names=("alone",))
    assert run_plots.loss_curves(one, None).axes[0].get_yscale() == "linear"


def test_values_that_are_not_finite_or_empty_are_left_out():
    rows = made_up_rows(3)
    rows[0]["test_acc"], rows[4]["test_acc"] = math.nan, None
    assert run_plots.series(rows, "kd", "test_acc") == ([3], [24.0])
    run_plots.accuracy_curves(rows, None)


def test_final_accuracies_come_from_the_results_else_from_the_rows():
    assert run_plots.final_accuracies([], RESULTS)[0] == ("kd", 60.0, 61.0)
    assert run_plots.final_accuracies([], RESULTS)[-1] == ("ensemble", 64.0, 65.0)
    rows = made_up_rows(3)
    rows[8]["test_acc"] = 1.0
    assert run_plots.final_accuracies(rows, None)[0] == ("kd", 1.0, 16.0)


def test_the_settings_of_a_program_that_imports_this_stay_its_own(tmp_path):
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    run_plots.plot_run(tmp_path, made_up_rows(1), RESULTS)
    assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == backend


def test_students_are_called_by_the_labels_of_their_results(tmp_path):
    students = [replace(student, label=f"My {student.name}") for student in RESULTS.students]
    results = replace(RESULTS, students=(*students[:2], replace(students[2], name="semckd_2")))
    rows = made_up_rows(2, names=("kd", "crd", "semckd_2"))
    called = ["My kd", "My crd", "My semckd 2", "ensemble"]
    assert legend(run_plots.accuracy_curves(rows, results))[:4] == called
    assert legend(run_plots.ensemble_weights(rows, results))[:3] == called[:3]
    ticks = run_plots.final_accuracy(rows, results).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == called
    # before the end of a run, only their names are known
    assert legend(run_plots.accuracy_curves(rows, None))[:4] == ["kd", "crd", "semckd_2", "ensemble"]


def test_results_may_be_the_content_of_a_file(tmp_path):
    content = json.loads(json.dumps(asdict(RESULTS)))
    assert len(run_plots.plot_run(tmp_path, made_up_rows(2), content)) == 5


def test_forty_students_are_told_apart_and_their_legend_is_whole(tmp_path):
    names = tuple(f"m{place}" for place in range(40))
    students = tuple(StudentScore(name, "resnet20", name, 60.0, 61.0) for name in names)
    rows = made_up_rows(2, names=names)
    figure = run_plots.accuracy_curves(rows, replace(RESULTS, students=students))
    solid = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert len({(str(line.get_color()), line.get_marker()) for line in solid}) == 41
    figure.draw_without_rendering()
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert figure.axes[0].bbox.height > 0.6 * figure.bbox.height
