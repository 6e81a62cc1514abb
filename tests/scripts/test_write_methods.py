"""docs/methods.md is what the sources and the measurements say today."""

import json

import pytest

from distiller_zoo import distiller_dict
from distiller_zoo.catalogue import entries
from helper.errors import UserError
from helper.results import read_json
from reporting.published_methods import PUBLISHED
from scripts.write_methods import MEASURED, PAGE, anchor, page, plain


def test_the_committed_page_is_what_the_script_writes():
    assert PAGE.read_text() == page(read_json(MEASURED)), "run: python -m scripts.write_methods"


def test_every_method_is_there_with_its_paper_formula_cost_flags_and_numbers():
    text = PAGE.read_text()
    for entry in entries():
        section = text.split(f"### {', '.join((entry.name, *entry.aliases))}: ")[1].split("\n### ")[0]
        assert entry.paper.link in section and f"    {entry.formula}\n" in section
        assert f"(#{anchor(entry)})" in text and "\nReads " in section
        keys = [key for key in PUBLISHED if key.split()[0] == entry.name]
        assert section.count("(best epoch") + section.count("(last epoch") + section.count(
            "(epoch not said"
        ) == sum(len(PUBLISHED[key]) for key in keys)
    assert "`--dkd_beta`" in text and "| `okddip` |" in text


def test_a_method_that_was_not_measured_is_named():
    measured = json.loads(MEASURED.read_text())
    del measured["methods"]["nst"]
    with pytest.raises(UserError, match=r"has nothing on nst: run python benchmarks/methods.py --json"):
        page(measured)


def test_prose_is_not_taken_for_markdown():
    assert plain("|x_i|^2 * y < 3") == r"\|x\_i\|^2 \* y \< 3"
    assert plain("`a_b` and | c") == r"`a_b` and \| c"


def test_all_methods_of_the_zoo_are_entries():
    assert {entry.name for entry in entries()} == distiller_dict.keys() - distiller_dict.aliases()
