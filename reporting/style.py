"""One look for every figure of the project: light, print-ready, told apart without seeing colour.

Figures are built without pyplot and without touching matplotlib's settings, so that a program that imports
this keeps its own; matplotlib is imported once something is drawn, because that takes a second.
Colours: Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import importlib
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helper.errors import UserError, one_line
from helper.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, INK, GREY = "#CC79A7", "#56B4E9", "#262626", "#767676"
GRID = "#E6E6E6"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
RESERVED = {"ensemble": INK, "teacher": GREY, "alone": GREY}  # what is no method has one colour everywhere
MARKERS = "osD^vPX*<>p"  # their number and that of the colours have no common factor: 66 pairs
LEGEND_ROWS = 14  # that stand beside a figure of the usual height
FORMATS = ("png", "pdf", "svg")
NEEDED = {"matplotlib": "matplotlib.figure", "tensorboard": "torch.utils.tensorboard"}


def require_plots() -> None:
    """Raise UserError, in one line, where a package that plots or events need is not there or broken."""
    for package, module in NEEDED.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package can raise anything
            raise UserError(
                f"the package {package}, which plots and events need, cannot be imported "
                f"({one_line(error)}): pip install -r pyt.txt"
            ) from error


def colours(names: Iterable[str]) -> dict[str, Any]:
    """A colour per name, each another: the palette in the order given, then darker and paler ones."""
    chosen: dict[str, Any] = {}
    place = 0
    for name in dict.fromkeys(names):
        if name in RESERVED:
            chosen[name] = RESERVED[name]
            continue
        turn, colour = place // len(PALETTE), PALETTE[place % len(PALETTE)]
        share = 0.75 * (1 - 0.55 ** ((turn + 1) // 2))
        chosen[name] = mixed(colour, share, "black" if turn % 2 else "white") if turn else colour
        place += 1
    return chosen


def markers(names: Iterable[str]) -> dict[str, str]:
    """A marker shape per name, in the order given, so that a print in grey can still be read."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(dict.fromkeys(names))}


def mixed(colour: str, share: float = 0.55, other: str = "white") -> tuple[float, ...]:
    """The colour mixed with that share of another; unlike transparency it hides the grid behind it."""
    from matplotlib.colors import to_rgb

    return tuple(own + (its - own) * share for own, its in zip(to_rgb(colour), to_rgb(other), strict=True))


def ink_on(colour: Any) -> str:
    """The colour of text that can be read on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.58 else INK


def figure(width: float = 7.2, height: float = 4.2) -> Figure:
    """An empty white figure of that size in inches, laid out so that nothing is cut off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    new = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(new)
    return new


def axes(place: Figure, title: str, x_label: str, y_label: str, position: Any = 111) -> Axes:
    """Axes with title and labels, a pale grid and no box, at a subplot position of the figure."""
    new = place.add_subplot(position)
    set_style(new, title, x_label, y_label)
    return new


def set_style(target: Axes, title: str, x_label: str, y_label: str) -> None:
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


def legend(target: Axes, handles: Sequence[Artist] | None = None, **options: Any) -> None:
    """A legend to the right of the axes, where it hides nothing; a long one has columns in a wider figure."""
    if handles is None:
        handles = target.get_legend_handles_labels()[0]
    defaults: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "fontsize": 9}
    if not options and len(handles) > LEGEND_ROWS:
        columns = math.ceil(len(handles) / LEGEND_ROWS)
        width, height = target.figure.get_size_inches()
        target.figure.set_size_inches(width + 1.8 * (columns - 1), height)
        defaults["ncols"] = columns
    target.legend(handles=handles, frameon=False, labelcolor=INK, **(defaults | options))


def legend_line(text: str, colour: Any, style: str = "-", marker: str = "", width: float = 2.0) -> Line2D:
    """A line that only stands in a legend."""
    from matplotlib.lines import Line2D

    looks = {"color": colour, "linestyle": style, "marker": marker, "markersize": 5, "linewidth": width}
    return Line2D([], [], label=text, **looks)


def legend_bar(text: str, colour: Any) -> Patch:
    """A bar that only stands in a legend."""
    from matplotlib.patches import Patch

    return Patch(color=colour, label=text)


def epoch_axis(target: Axes, epochs: Sequence[float]) -> None:
    """Whole epochs on the x axis, with room around a single one."""
    from matplotlib.ticker import MaxNLocator

    first, last = min(epochs), max(epochs)
    room = max((last - first) * 0.02, 0.5)
    target.set_xlim(first - room, last + room)
    if first == last:
        target.set_xticks([first])
    else:
        target.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def logarithmic(target: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

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
    with warnings.catch_warnings():  # of every letter of a class's name that the font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        place.savefig(buffer, format=suffix, dpi=dots_per_inch, facecolor="white")
    write_atomically(path, buffer.getvalue())
    return path
