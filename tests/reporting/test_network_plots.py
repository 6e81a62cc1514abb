"""The figures of networks for a paper, and the script that draws them."""

import os
import sys

import numpy as np
import pytest

from helper.checkpoint import write_checkpoint
from helper.errors import UserError
from models import model_dict
from reporting import network_plots
from reporting.network_plots import NetworkOutputs
from tests.reporting.made_up_metrics import PNG


def test_linear_cka_ignores_rotation_and_scale_and_tells_noise_apart():
    random = np.random.default_rng(0)
    first = random.normal(size=(200, 8))
    rotation, _ = np.linalg.qr(random.normal(size=(8, 8)))
    assert network_plots.linear_cka(first, 3 * first @ rotation + 5) == pytest.approx(1)
    assert network_plots.linear_cka(first, random.normal(size=(200, 8))) < 0.1
    assert network_plots.linear_cka(first, np.zeros((200, 3))) == 0
    centred, other = first - first.mean(0), (first**2) - (first**2).mean(0)
    literal = np.linalg.norm(other.T @ centred) ** 2
    literal /= np.linalg.norm(centred.T @ centred) * np.linalg.norm(other.T @ other)
    assert network_plots.linear_cka(first, first**2) == pytest.approx(literal)


def test_class_correlations_agree_with_numpy():
    logits = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    assert np.allclose(network_plots.correlations(logits), np.corrcoef(logits.T), atol=1e-6)
    logits[:, 2] = 1
    assert np.isfinite(network_plots.correlations(logits)).all()


def made_up_network(name: str, seed: int) -> NetworkOutputs:
    random = np.random.default_rng(seed)
    layers = {
        layer: random.normal(size=(24, 5)).astype(np.float32) for layer in ("stem", "embedding", "logits")
    }
    return NetworkOutputs(name, layers, layers["logits"], np.arange(24) % 3)


def test_the_figures_of_networks_have_a_panel_each():
    teacher, student = made_up_network("teacher resnet56", 0), made_up_network("resnet20, KD", 1)
    difference = network_plots.correlations(student.logits) - network_plots.correlations(teacher.logits)
    figure = network_plots.correlation_figure(teacher, [student, teacher])
    said = [text.get_text() for panel in figure.axes[:2] for text in panel.texts]
    assert said == [
        f"mean absolute difference {np.abs(difference).mean():.3f}",
        "mean absolute difference 0.000",
    ]
    assert np.allclose(figure.axes[0].images[0].get_array(), difference)

    figure = network_plots.cka_figure(teacher, [teacher])
    assert np.allclose(np.diag(figure.axes[0].images[0].get_array()), 1)

    figure = network_plots.tsne_figure([teacher, student], seed=1)
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["teacher resnet56", "resnet20, KD"]
    assert [len(line.get_xdata()) for line in figure.axes[0].get_lines()] == [8, 8, 8]


@pytest.mark.parametrize(
    "words, said",
    [
        (["weights", "nowhere"], "cannot read"),
        (["schedule", "--epochs", "3", "--online_start", "3"], "--online_start 3"),
        (["schedule", "--out", "x.gif"], "'.gif'"),
        (["cka", "--path_t", "t.pth", "--path_s", "s.pth", "--dataset", "digits"], "no checkpoint at t.pth"),
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


def test_figures_say_which_classes_there_are(tmp_path, monkeypatch):
    import figures as script

    weights = model_dict["resnet8"](num_classes=10).state_dict()
    write_checkpoint({"model": weights, "arch": "resnet8", "num_classes": 10}, tmp_path / "t.pth")
    words = "figures.py tsne --path_t t.pth --path_s t.pth --dataset digits --classes 10"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(UserError, match="--classes 10"):
        script.main()
    assert os.listdir(tmp_path) == ["t.pth"]
