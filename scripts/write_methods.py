"""Write docs/methods.md, the page of all methods, from their sources and from what was measured of them.

    python -m scripts.write_methods

What a method reads and costs comes from results/benchmarks/methods.json, which benchmarks/methods.py leaves;
published accuracies from reporting/published_methods.py; all else from the files of distiller_zoo and
modreduce. Nothing on the page is written by hand.
"""

import re
from pathlib import Path
from typing import Any

from distiller_zoo.catalogue import Entry, entries
from helper.arguments import Parser
from helper.errors import UserError, run_script
from helper.files import write_atomically
from helper.results import read_json
from helper.signature import class_docstrings
from modreduce import ensemble_dict
from modreduce.flags import add_method_flags
from reporting.published import EXPERIMENTS
from reporting.published_methods import PUBLISHED, SOURCES, settings_of
from scripts import ROOT

MEASURED = ROOT / "results/benchmarks/methods.json"
PAGE = ROOT / "docs/methods.md"
OPENING = "Published code:"
TOP = """\
# The methods

Written by `python -m scripts.write_methods`, nothing by hand; `python train_student.py --list` prints a short
form.

Notation: s, t student and teacher; z logits, p = softmax(z / T), y the label; e embedding, F a stage's map; B
images in the batch, C channels or classes; |.|^2 a squared length (or, where said, a mean), nu(x) = x / |x|,
' a transpose. A run's loss is gamma * CE + alpha * KD + beta * method: `-r`, `-a`, `-b`, by default as below.
All are peers of ModReduce too, and `--logit_stand` standardises the logits of KD, DKD and MLKD.

Costs: {conditions}. A step is the loss forward and backward, without the networks; in brackets how many times
as long the literal transcription of the formula takes. Parameters: those trained beside the student's own; in
brackets those of them that stay in the deployed network.

| method | reads | beyond a plain run | -r -a -b | ms per step | MiB | parameters |
|:---|:---|:---|:---|---:|---:|---:|
"""
ONLINE = """\
## Online: `--online`

| name | what it is |
|:---|:---|
"""


def page(measured: dict[str, Any]) -> str:
    """The whole page. measured: what benchmarks/methods.py wrote."""
    found = entries()
    if missing := [entry.name for entry in found if entry.name not in measured["methods"]]:
        raise UserError(
            f"{MEASURED.name} has nothing on {', '.join(missing)}: run python benchmarks/methods.py --json "
            f"{MEASURED.relative_to(ROOT)} for all methods first"
        )
    device, batch = measured["device"], measured["batch_size"]
    conditions = (
        f"experiment {measured['experiment']} ({measured['teacher']} teaches {measured['student']}), batch "
        f"{batch}, {measured['precision']}, {device}, medians of {measured['repeats']}"
    )
    rows = "".join(glance(entry, measured["methods"][entry.name]) for entry in found)
    flags = flags_by_method()
    parts = [TOP.format(conditions=conditions) + rows, experiments(), "## Offline: `--distill`\n"]
    parts += [section(entry, measured["methods"][entry.name], flags.get(entry.name, [])) for entry in found]
    return "\n".join([*parts, ONLINE + "".join(map(online, ensemble_dict))])


def glance(entry: Entry, cost: dict[str, Any]) -> str:
    """A method's row of the first table."""
    seconds, added = cost["seconds"], cost["parameters"]
    weights = " ".join(f"{weight:g}" for weight in entry.weights)
    parameters = millions(added["trained"]) + (
        f" ({millions(added['deployed'])})" if added["deployed"] else ""
    )
    cells = [
        f"[`{entry.name}`](#{anchor(entry)})", cost["reads"], entry.schedule or "–", weights,  # noqa: RUF001
        f"{1000 * seconds['medians']['ours']:.1f} ({seconds['ratio']:.1f})",
        f"{cost['memory_mib']['ours']:.0f}", parameters,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def millions(count: int) -> str:
    """A number of parameters, in millions where it is large."""
    return f"{count / 1e6:.2f} M" if count >= 10_000 else str(count)


def title(entry: Entry) -> str:
    """The heading of a method."""
    return f"{', '.join((entry.name, *entry.aliases))}: {entry.label}"


def anchor(entry: Entry) -> str:
    """The link to a heading, as Markdown viewers make it."""
    return re.sub(r"[^\w\- ]", "", title(entry).lower()).replace(" ", "-")


def section(entry: Entry, cost: dict[str, Any], flags: list[str]) -> str:
    """All that is known of a method."""
    paper = entry.paper
    cited = f"{paper.authors}: " if paper.authors else ""
    where = f", {paper.where}" if paper.where else ""
    lines = [
        f"### {title(entry)}\n",
        f"{cited}[{paper.title}]({paper.link}){where}\n",
        f"    {entry.formula}\n",
    ]
    kind = entry.owner.partition(":")[2]
    lines += [f"{plain(paragraph)}\n" for paragraph in prose(entry.docstrings[kind])]
    others = [text for name, text in entry.docstrings.items() if name != kind]
    said = [p for text in others for p in prose(text) if p.startswith(OPENING)]
    lines += [f"{plain(paragraph)}\n" for paragraph in dict.fromkeys(said)]
    gflop = cost["gflop"]
    lines.append(f"Reads {cost['reads']}." + (f" {gflop:.2g} GFLOP per step.\n" if gflop >= 0.01 else "\n"))
    if flags:
        lines.append("Flags: " + "; ".join(flags) + ".\n")
    if table := published(entry.name):
        lines.append(table)
    return "\n".join(lines)


def prose(docstring: str) -> list[str]:
    """The paragraphs of a docstring in a line each, without its example."""
    paragraphs = re.split(r"\n\s*\n", docstring)
    return [" ".join(part.split()) for part in paragraphs if not part.lstrip().startswith(">>>")]


def plain(text: str) -> str:
    """Prose in which nothing is taken for Markdown."""
    return re.sub(r"(?<!`)([*_<|])(?!`)", r"\\\1", text) if "`" not in text else text.replace("|", r"\|")


def flags_by_method() -> dict[str, list[str]]:
    """The flags of each method, as --help says them."""
    parser = Parser(None)
    add_method_flags(parser)
    found: dict[str, list[str]] = {}
    for action in parser._actions:
        for name in parser.owners.get(action.dest, []):
            text = action.help.replace("%%", "%")
            choices = f" {{{','.join(action.choices)}}}" if action.choices else ""
            found.setdefault(name, []).append(f"`--{action.dest}{choices}` {text}")
    return found


def published(name: str) -> str:
    """The published accuracies of a method: a row per source and variant, a column per experiment."""
    rows = {
        (key, source): values
        for key, by_source in PUBLISHED.items()
        for source, values in by_source.items()
        if settings_of(key)[0] == name
    }
    numbers = sorted({number for values in rows.values() for number in values})
    if not numbers:
        return ""
    lines = [f"| published | {' | '.join(map(str, numbers))} |", f"|:---|{'---:|' * len(numbers)}"]
    for (key, source), values in rows.items():
        about = SOURCES[source]
        epoch = "epoch not said" if about.epoch == "not said" else f"{about.epoch} epoch"
        flags = f" `{key.partition(' ')[2]}`" if " " in key else ""
        head = f"{about.name}{flags} ({'; '.join(filter(None, (epoch, about.remark)))})"
        cells = [f"{values[number]:.2f}" if number in values else "" for number in numbers]
        lines.append(f"| {head} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def experiments() -> str:
    """What the numbers of the experiments stand for."""
    lines = ["Published accuracies are of CIFAR-100's test set, in percent, by experiment:\n"]
    lines.append("; ".join(f"{e.number} {e.teacher} → {e.student}" for e in EXPERIMENTS) + ".\n")
    return "\n".join(lines)


def online(name: str) -> str:
    """A way of learning online in a row: the first paragraph of its docstring."""
    module, _, kind = ensemble_dict.owner(name).partition(":")
    return f"| `{name}` | {plain(prose(class_docstrings(module)[kind])[0])} |\n"


def main() -> None:
    Parser(__doc__).parse_args()
    write_atomically(PAGE, page(read_json(MEASURED)))
    print(Path(PAGE).relative_to(ROOT))


if __name__ == "__main__":
    run_script(main)
