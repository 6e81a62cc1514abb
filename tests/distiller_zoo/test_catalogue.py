"""What the sources of the zoo say of its methods is what their classes are."""

import pytest

import train_student
from distiller_zoo import distiller_dict
from distiller_zoo.catalogue import entries, entry_of, paper_of

METHODS = [name for name in distiller_dict if name not in distiller_dict.aliases()]


@pytest.mark.parametrize("name", METHODS)
def test_an_entry_is_what_the_class_says(name):
    entry, kind = entry_of(name), distiller_dict[name]
    assert (entry.label, entry.formula, entry.weights) == (kind.label, kind.formula, tuple(kind.weights))
    assert (entry.warm_up, entry.pretraining, entry.views) == (kind.warm_up, kind.pretraining, kind.views)
    assert entry.label and entry.formula and entry.paper.title and entry.paper.link.startswith("https://")
    assert entry.docstrings[kind.__name__]


def test_a_paper_is_found_in_any_prose():
    said = (
        'Divided by T^2. W. Park, E.-H. Yang: "A Title: of Two\nParts", ICML 2031, section 3.1. https://a.b/c'
    )
    paper = paper_of(said)
    assert paper.authors == "W. Park, E.-H. Yang" and paper.title == "A Title: of Two Parts"
    assert (paper.where, paper.link) == ("ICML 2031", "https://a.b/c")
    alone = paper_of('Ours. "Only a Title." https://a.b')
    assert (alone.authors, alone.title, alone.where) == ("", "Only a Title", "")
    with pytest.raises(ValueError, match="no paper"):
        paper_of("Nothing is cited here.")


def test_the_list_has_a_line_per_method(capsys):
    with pytest.raises(SystemExit) as ending:
        train_student.parser().parse_args(["--list"])
    assert ending.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(",") for line in lines[1:]] == METHODS
    assert lines[METHODS.index("fitnet") + 1].startswith("fitnet, hint")
    dkd = next(line for line in lines if line.startswith("dkd "))
    assert "Decoupled Knowledge Distillation" in dkd and dkd.endswith(
        "settings by pair, warm-up of 20 epochs"
    )
    assert [entry.aliases for entry in entries() if entry.aliases] == [("hint",)]
