"""The methods' docstrings cite papers in one form, and set apart what is said of the published code."""

import ast
import re
from pathlib import Path

import pytest

import distiller_zoo
from distiller_zoo import distiller_dict

ZOO = Path(distiller_zoo.__file__).parent
CITATION = re.compile(
    r'(?P<authors>[^".:;()]+?(?: et al\.)?): "[^"]+", (?P<venue>[A-Za-z]+(?: MM)?) (?P<year>\d{4})'
    r"(?:, (?:sections?|equations?|algorithm) \d[\w ,.]*)?\. https://\S+"
)
OPENING = "Published code: "
INITIAL = re.compile(r"\b[A-Z]\. [A-Z][\w-]+(?:, | et al\.|:)")
MOST_AUTHORS = 5
# of its paper neither authors nor venue are known
REPOSITORY_ALONE = {"mrd"}


def docstrings(module: str) -> dict[str, list[str]]:
    """The paragraphs of every class's docstring, each in one line."""
    classes = [n for n in ast.parse((ZOO / f"{module}.py").read_text()).body if isinstance(n, ast.ClassDef)]
    return {
        node.name: [" ".join(part.split()) for part in re.split(r"\n\s*\n", ast.get_docstring(node) or "")]
        for node in classes
    }


@pytest.mark.parametrize("module", distiller_dict.modules())
def test_every_link_belongs_to_a_citation_in_the_one_form(module: str) -> None:
    texts = [" ".join(paragraphs) for paragraphs in docstrings(module).values()]
    cited = [text for text in texts if "https://" in text]
    assert cited, f"distiller_zoo/{module}.py cites no paper"
    if module in REPOSITORY_ALONE:
        return
    for text in cited:
        found = list(CITATION.finditer(text))
        assert len(found) == text.count("https://"), text
        assert not INITIAL.search(text), text
        for citation in found:
            authors = citation["authors"].strip().split(", ")
            assert len(authors) <= MOST_AUTHORS
            assert all(re.fullmatch(r"[A-Z][\w-]+( et al\.)?", author) for author in authors), authors


@pytest.mark.parametrize("module", distiller_dict.modules())
def test_the_published_code_has_at_most_one_paragraph_per_class(module: str) -> None:
    for name, paragraphs in docstrings(module).items():
        own = [p for p in paragraphs if p.startswith(OPENING)]
        assert len(own) <= 1, name
        assert sum(p.lower().count(OPENING.lower()) for p in paragraphs) == len(own), name
        assert all(p.endswith(".") for p in own), name
