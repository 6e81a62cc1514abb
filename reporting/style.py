"""One look for every figure of the project: light, print-ready, told apart without seeing colour.

Figures are built without pyplot and without touching matplotlib's settings, so that a program that imports
this keeps its own. Colours: Okabe and Ito, "Color Universal Design", 2008.
"""

import importlib.util
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from helper.errors import UserError
from helper.files import write_atomically

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, INK, GREY = "#CC79A7", "#56B4E9", "#262626", "#767676"
GRID = "#E6E6E6"
COLOURS = {
    "kd": BLUE,
    "crd": VERMILION,
    "semckd": GREEN,
    "rkd": PURPLE,
    "fitnet": ORANGE,
    "hint": ORANGE,
    "ensemble": INK,
    "teacher": GREY,
    "alone": GREY,
}
SPARE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "osD^vPX*<>"
LABELS = {
    "kd": "KD",
    "crd": "CRD",
    "semckd": "SemCKD",
    "rkd": "RKD",
    "fitnet": "FitNet",
    "hint": "FitNet",
    "pcl": "PCL",
    "one": "ONE",
    "fc": "FC",
}
FORMATS = ("png", "pdf", "svg")


def label(name: str) -> str:
    """A student's name as it stands in a figure or table: 'kd_2' becomes 'KD 2'."""
    method, _, number = name.partition("_")
    return f"{LABELS[method]} {number}".strip() if method in LABELS else name


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour per name: the method's own, and the next spare one for a repeat or an unknown name."""
    chosen: dict[str, str] = {}
    names = list(dict.fromkeys(names))
    for name in names:
        if name in COLOURS and COLOURS[name] not in chosen.values():
            chosen[name] = COLOURS[name]
    for name in names:
        if name not in chosen:
            free = [colour for colour in SPARE if colour not in chosen.values()]
            chosen[name] = free[0] if free else SPARE[len(chosen) % len(SPARE)]
    return chosen


def markers(names: Iterable[str]) -> dict[str, str]:
    """A marker shape per name, in the order given, so that a print in grey can still be read."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(dict.fromkeys(names))}


def figure(width: float = 7.2, height: float = 4.2) -> Figure:
    """An empty white figure of that size in inches, laid out so that nothing is cut off."""
    new = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(new)
    return new


def axes(place: Figure, title: str, x_label: str, y_label: str, position: Any = 111) -> Axes:
    """Axes with title and labels, a pale grid and no box, at a subplot position of the figure."""
    new = place.add_subplot(position)
    dress(new, title, x_label, y_label)
    return new


def dress(target: Axes, title: str, x_label: str, y_label: str) -> None:
    """Give axes the look of the project; a second line of the title is set smaller, below the first."""
    title, _, details = title.partition("\n")
    target.set_title(title, fontsize=11.5, color=INK, loc="left", pad=22 if details else 9, fontweight="bold")
    if details:
        look = {"fontsize": 9.5, "color": GREY, "ha": "left", "va": "bottom"}
        target.annotate(details, (0, 1), (0, 8), "axes fraction", "offset points", **look)
    target.set_xlabel(x_label, fontsize=10, color=INK)
    target.set_ylabel(y_label, fontsize=10, color=INK)
    target.tick_params(labelsize=9, colors=INK, length=3, width=0.8)
    target.set_facecolor("white")
    target.grid(True, color=GRID, linewidth=0.8)
    target.set_axisbelow(True)
    for side, spine in target.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
        spine.set_linewidth(0.8)


def legend(target: Axes, handles: Sequence[Any] | None = None, **options: Any) -> None:
    """A legend to the right of the axes, where it hides nothing."""
    defaults: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (1.01, 1.0),
        "fontsize": 9,
        "frameon": False,
        "labelcolor": INK,
    }
    if handles is None:
        target.legend(**(defaults | options))
    else:
        target.legend(handles=handles, **(defaults | options))


def key(text: str, colour: str, style: str = "-", marker: str = "", width: float = 2.0) -> Line2D:
    """A line that only stands in a legend."""
    looks = {"color": colour, "linestyle": style, "marker": marker, "markersize": 5, "linewidth": width}
    return Line2D([], [], label=text, **looks)


def bar_key(text: str, colour: Any) -> Patch:
    """A bar that only stands in a legend."""
    return Patch(color=colour, label=text)


def paler(colour: str, share: float = 0.55) -> tuple[float, float, float]:
    """The colour mixed with that share of white; unlike transparency it hides the grid behind it."""
    red, green, blue = to_rgb(colour)
    return (red + (1 - red) * share, green + (1 - green) * share, blue + (1 - blue) * share)


def epoch_axis(target: Axes, epochs: Sequence[float]) -> None:
    """Whole epochs on the x axis, with room around a single one."""
    first, last = min(epochs), max(epochs)
    room = max((last - first) * 0.02, 0.5)
    target.set_xlim(first - room, last + room)
    if first == last:
        target.set_xticks([first])
    else:
        target.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def logarithmic(target: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    target.set_yscale("log")
    target.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    target.yaxis.set_minor_locator(NullLocator())
    target.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def check_suffix(path: Path) -> str:
    """The format that a figure's suffix asks for; raises UserError for one that cannot be written."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise UserError(f"cannot draw {path}: the suffix is {path.suffix!r}; use .{', .'.join(FORMATS)}")
    return suffix


def save(place: Figure, path: Path, dots_per_inch: int = 200) -> Path:
    """Write the figure whole or not at all; its format is the suffix.

    Raises UserError for a suffix that cannot be written, a read-only folder or a full disk.
    """
    suffix = check_suffix(path)
    buffer = io.BytesIO()
    place.savefig(buffer, format=suffix, dpi=dots_per_inch, facecolor="white")
    write_atomically(path, buffer.getvalue())
    return path


def require_plots() -> None:
    """Raise UserError if what draws and logs a run is not installed."""
    for package in ("matplotlib", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed: pip install -r pyt.txt")
