"""What the zoo's sources say of each method, read without torch: for `--list` and docs/methods.md."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from distiller_zoo import distiller_dict
from helper.signature import class_constant, class_docstrings, class_sources

PAPER = re.compile(
    r"(?:(?P<authors>[A-Z][^\"]*?): )?\"(?P<title>[^\"]+?)\.?\""
    r"(?:, (?P<venue>[A-Za-z ]*?) ?(?P<year>\d{4})\b)?.*?(?P<link>https://\S+)"
)


@dataclass(frozen=True)
class Paper:
    """Where a method was published; authors and where (venue and year) as far as its file says them."""

    authors: str
    title: str
    where: str
    link: str


@dataclass(frozen=True)
class Entry:
    """A method as its file describes it.

    name: after --distill; aliases: further names; owner: "module:Class"; weights: published gamma, alpha,
    beta; by_pair: whether its file has settings for some pairs; docstrings: of the classes of its file.
    """

    name: str
    aliases: tuple[str, ...]
    owner: str
    label: str
    paper: Paper
    formula: str
    weights: tuple[float, ...]
    by_pair: bool
    warm_up: int
    pretraining: int
    views: tuple[str, ...]
    docstrings: dict[str, str]

    @property
    def schedule(self) -> str:
        """What it asks beside a plain run, in words; empty for nothing."""
        parts = ["settings by pair"] if self.by_pair else []
        parts += [f"first stage of {self.pretraining} epochs"] if self.pretraining else []
        parts += [f"warm-up of {self.warm_up} epochs"] if self.warm_up else []
        parts += [f"{view} view" for view in self.views]
        return ", ".join(parts)


def entries() -> list[Entry]:
    """All methods of the project's own files, in the zoo's order."""
    aliases = distiller_dict.aliases()
    return [
        entry_of(name, tuple(alias for alias, own in aliases.items() if own == name))
        for name in distiller_dict
        if name not in aliases and isinstance(distiller_dict.owner(name), str)
    ]


def entry_of(name: str, aliases: tuple[str, ...] = ()) -> Entry:
    """What the source of a method says."""
    owner = distiller_dict.owner(name)
    docstrings = class_docstrings(owner.partition(":")[0])
    *own, _base = class_sources(owner)
    return Entry(
        name,
        aliases,
        owner,
        class_constant(owner, "label"),
        paper_of(" ".join(docstrings.values())),
        class_constant(owner, "formula"),
        tuple(class_constant(owner, "weights")),
        any(_looks_up_a_pair(node) for definition in own for node in ast.walk(definition)),
        class_constant(owner, "warm_up"),
        class_constant(owner, "pretraining"),
        tuple(class_constant(owner, "views")),
        docstrings,
    )


def _looks_up_a_pair(node: ast.AST) -> bool:
    """Whether this is a `.get` of a pair of networks from a table of published settings."""
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "get":
        return False
    key = node.args[0]
    return isinstance(key, ast.Tuple) or getattr(key, "id", "") == "pair"


def paper_of(text: str) -> Paper:
    """The first paper that a text cites as `Authors: "Title", VENUE YEAR ... link`.

    Raises ValueError where there is none.
    """
    found = PAPER.search(" ".join(text.split()))
    if found is None:
        raise ValueError(f"no paper is cited in {text[:200]!r}")
    authors = re.split(r"(?<!\b[A-Z])\. ", found["authors"] or "")[-1]
    where = f"{found['venue'] or ''} {found['year'] or ''}".strip()
    return Paper(authors, found["title"], where, found["link"].rstrip("."))


def table(found: Iterable[Entry]) -> str:
    """The zoo as lines for a terminal."""
    rows = [("--distill", "method", "-r -a -b", "paper; what a run has beyond the usual")]
    for entry in found:
        weights = " ".join(f"{weight:g}" for weight in entry.weights)
        paper = ", ".join(part for part in (entry.paper.title, entry.paper.where) if part)
        extra = f"; {entry.schedule}" if entry.schedule else ""
        names = ", ".join((entry.name, *entry.aliases))
        rows.append((names, entry.label, weights, paper + extra))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join((*map(str.ljust, row[:3], widths), row[3])) for row in rows)
