"""The pictures of a run and of a paper: what is drawn, from what, and when nothing can be."""

import csv
import math
import os
import sys

import matplotlib
import numpy as np
import pytest

from helper.errors import UserError
from modreduce.schedule import online_weight
from reporting import network_plots as figures
from reporting import run_plots as plots
from reporting import style as plot_style
from reporting.curves import curves_figure, online_schedule_figure, short_names
from reporting.network_plots import Seen

NAMES = ("kd", "crd", "semckd")
PNG = b"\x89PNG\r\n\x1a\n"


def made_up_rows(epochs: int, online: bool = True, names: tuple[str, ...] = NAMES) -> list[dict]:
    rows = []
    for epoch in range(1, epochs + 1):
        for place, name in enumerate((*names, "ensemble") if online else names):
            is_student = name != "ensemble"
            rows.append(
                {
                    "epoch": epoch,
                    "student": name,
                    "train_loss": 4.0 / epoch * 100**place if is_student else None,
                    "train_acc": 10.0 * epoch + place if is_student else "",
                    "test_loss": 3.0 / epoch,
                    "test_acc": 8.0 * epoch + place,
                    "online_weight": online_weight(epoch - 1, epochs) if online and is_student else None,
                    "ensemble_weight": (0.5, 0.3, 0.2)[place] if online and is_student else None,
                }
            )
    return rows


RESULTS = {
    "dataset": "cifar100",
    "teacher": {"model": "resnet56", "test_acc": 72.3},
    "students": [
        {"name": name, "model": "resnet20", "test_acc_last": 60.0 + place, "test_acc_best": 61.0 + place}
        for place, name in enumerate(NAMES)
    ],
    "ensemble": {"online": "wavg", "weights": [0.5, 0.3, 0.2], "test_acc_last": 64.0, "test_acc_best": 65.0},
}


def lines(figure) -> dict[str, tuple[list, list]]:
    """The lines of a figure with a legend entry of their own, or by their order."""
    found = {}
    for place, line in enumerate(figure.axes[0].get_lines()):
        text = line.get_label()
        found[str(place) if text.startswith("_") else text] = (list(line.get_xdata()), list(line.get_ydata()))
    return found


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_a_run_with_an_ensemble_has_five_pictures(tmp_path):
    paths = plots.plot_run(tmp_path, made_up_rows(2), RESULTS)
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
    names = {path.name for path in plots.plot_run(tmp_path, alone, None)}
    assert names == {"accuracy.png", "loss.png", "final_accuracy.png"}
    assert plots.plot_run(tmp_path / "nothing", [], None) == []
    assert not (tmp_path / "nothing").exists()


def test_the_accuracy_curves_show_train_dashed_test_solid_and_the_teacher():
    figure = plots.accuracy_curves(made_up_rows(5), RESULTS)
    drawn = figure.axes[0].get_lines()
    styles = [line.get_linestyle() for line in drawn]
    assert (styles.count("-"), styles.count("--"), styles.count("-.")) == (4, 3, 1)
    solid = [line for line in drawn if line.get_linestyle() == "-"]
    assert list(solid[1].get_ydata()) == [9.0, 17.0, 25.0, 33.0, 41.0]
    assert len({line.get_color() for line in solid}) == 4 and len({line.get_marker() for line in solid}) == 4
    assert legend(figure) == ["KD", "CRD", "SemCKD", "ensemble", "test", "training", "teacher (72.30)"]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("Epoch", "Top-1 accuracy (%)")


def test_losses_on_very_different_scales_get_a_logarithmic_axis():
    assert plots.loss_curves(made_up_rows(3), RESULTS).axes[0].get_yscale() == "log"
    one = made_up_rows(3, online=False, names=("alone",))
    assert plots.loss_curves(one, None).axes[0].get_yscale() == "linear"


def test_values_that_are_not_finite_or_empty_are_left_out():
    rows = made_up_rows(3)
    rows[0]["test_acc"], rows[4]["test_acc"] = math.nan, None
    assert plots.series(rows, "kd", "test_acc") == ([3], [24.0])
    plots.accuracy_curves(rows, None)


def test_final_accuracies_come_from_the_results_else_from_the_rows():
    assert plots.final_accuracies([], RESULTS)[0] == ("kd", 60.0, 61.0)
    assert plots.final_accuracies([], RESULTS)[-1] == ("ensemble", 64.0, 65.0)
    rows = made_up_rows(3)
    rows[8]["test_acc"] = 1.0
    assert plots.final_accuracies(rows, None)[0] == ("kd", 1.0, 16.0)


def test_the_schedule_is_drawn_as_steps_of_the_formula():
    weights = [online_weight(epoch, 240) for epoch in range(240)]
    figure = online_schedule_figure(weights)
    values, edges, _ = figure.axes[0].patches[-1].get_data()
    assert values[0] == pytest.approx(0.01 * 70 ** (1 / 24)) and values[-1] == pytest.approx(0.7)
    assert len(set(values.round(12))) == 24 and len(edges) == 241


def test_curves_of_several_runs_are_told_apart(tmp_path):
    folders = []
    for name in ("S_a_T_b_none_trial_1", "S_a_T_b_wavg_trial_1"):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        with open(folders[-1] / "metrics.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, made_up_rows(1)[0])
            writer.writeheader()
            writer.writerows(made_up_rows(2))
    drawn = lines(curves_figure(folders, ["kd", "ensemble"]))
    assert list(drawn) == ["none: KD", "none: ensemble", "wavg: KD", "wavg: ensemble"]
    assert drawn["wavg: KD"] == ([1, 2], [8.0, 16.0])
    with pytest.raises(UserError, match="--students rkd is in none"):
        curves_figure(folders, ["rkd"])
    assert short_names(["x", "x"])[0] == ["x (1)", "x (2)"]


def test_linear_cka_ignores_rotation_and_scale_and_tells_noise_apart():
    random = np.random.default_rng(0)
    first = random.normal(size=(200, 8))
    rotation, _ = np.linalg.qr(random.normal(size=(8, 8)))
    assert figures.linear_cka(first, 3 * first @ rotation + 5) == pytest.approx(1)
    assert figures.linear_cka(first, random.normal(size=(200, 8))) < 0.1
    assert figures.linear_cka(first, np.zeros((200, 3))) == 0
    centred, other = first - first.mean(0), (first**2) - (first**2).mean(0)
    literal = np.linalg.norm(other.T @ centred) ** 2
    literal /= np.linalg.norm(centred.T @ centred) * np.linalg.norm(other.T @ other)
    assert figures.linear_cka(first, first**2) == pytest.approx(literal)


def test_class_correlations_agree_with_numpy():
    logits = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    assert np.allclose(figures.correlations(logits), np.corrcoef(logits.T), atol=1e-6)
    logits[:, 2] = 1
    assert np.isfinite(figures.correlations(logits)).all()


def made_up_network(name: str, seed: int) -> Seen:
    random = np.random.default_rng(seed)
    layers = {
        layer: random.normal(size=(24, 5)).astype(np.float32) for layer in ("stem", "embedding", "logits")
    }
    return Seen(name, layers, layers["logits"], np.arange(24) % 3)


def test_the_figures_of_networks_have_a_panel_each():
    teacher, student = made_up_network("teacher resnet56", 0), made_up_network("resnet20, KD", 1)
    difference = figures.correlations(student.logits) - figures.correlations(teacher.logits)
    figure = figures.correlation_figure(teacher, [student, teacher])
    said = [text.get_text() for panel in figure.axes[:2] for text in panel.texts]
    assert said == [
        f"mean absolute difference {np.abs(difference).mean():.3f}",
        "mean absolute difference 0.000",
    ]
    assert np.allclose(figure.axes[0].images[0].get_array(), difference)

    figure = figures.cka_figure(teacher, [teacher])
    assert np.allclose(np.diag(figure.axes[0].images[0].get_array()), 1)

    figure = figures.tsne_figure([teacher, student], seed=1)
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["teacher resnet56", "resnet20, KD"]
    assert [len(line.get_xdata()) for line in figure.axes[0].get_lines()] == [8, 8, 8]


def test_pictures_are_whole_or_not_there(tmp_path):
    figure = plots.final_accuracy([], RESULTS)
    with pytest.raises(UserError, match=r"suffix is '\.jpg'"):
        plot_style.save(figure, tmp_path / "x.jpg")
    assert plot_style.save(figure, tmp_path / "new" / "x.pdf").read_bytes().startswith(b"%PDF")
    assert os.listdir(tmp_path / "new") == ["x.pdf"]


def test_the_settings_of_a_program_that_imports_this_stay_its_own(tmp_path):
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    plots.plot_run(tmp_path, made_up_rows(1), RESULTS)
    assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == backend


def test_repeated_methods_get_colours_and_names_of_their_own():
    palette = plot_style.colours(["kd", "kd_2", "crd", "ensemble"])
    assert len(set(palette.values())) == 4
    assert [plot_style.label(name) for name in ("kd_2", "fitnet", "alone")] == ["KD 2", "FitNet", "alone"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["weights", "nowhere"], "cannot read"),
        (["schedule", "--epochs", "3", "--online_start", "3"], "--online_start 3"),
        (["schedule", "--out", "x.gif"], "'.gif'"),
        (["cka", "--path_t", "t.pth", "--path_s", "s.pth", "--dataset", "digits"], "no checkpoint at t.pth"),
        (
            ["tsne", "--path_t", "t", "--path_s", "s", "--dataset", "digits", "--classes", "10"],
            "--classes 10",
        ),
    ],
)
def test_figures_say_what_is_wrong(words, said, tmp_path, monkeypatch):
    import figures as script

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["figures.py", *words])
    with pytest.raises(UserError, match=said):
        script.main()
    assert not os.listdir(tmp_path)


def test_the_figures_script_draws_the_schedule(tmp_path, monkeypatch, capsys):
    import figures as script

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["figures.py", "schedule", "--epochs", "24"])
    script.main()
    assert capsys.readouterr().out == "schedule.png\n"
    assert (tmp_path / "schedule.png").read_bytes().startswith(PNG)
