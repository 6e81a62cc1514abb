"""Draw docs/idea.png, the picture of the idea in the README.

python scripts/draw_idea.py [FILE.png]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from helper.errors import run_script
from reporting import style

STUDENTS = (
    ("KD", "responses", "the teacher's\nsoft answers", style.BLUE),
    ("CRD", "relations", "which images\nare alike", style.VERMILION),
    ("SemCKD", "features", "what its\nlayers see", style.GREEN),
)
ROWS = (4.55, 2.8, 1.05)
WIDTH, HEIGHT = 12.0, 6.4
HEADS = (
    (0.25, 6.9, "Offline", "a frozen teacher, and a kind of knowledge for each student"),
    (7.3, 11.85, "Online", "the students also learn from each other"),
)
LEGEND = (
    (1.0, style.INK, "-", "logits of each student"),
    (0.6, style.PURPLE, (0, (3, 1.6)), "pull towards the fused answer"),
)


def box(axes: Axes, x: float, y: float, width: float, height: float, colour: str, pale: float = 0.88) -> None:
    """A rounded box around (x, y)."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.16",
            facecolor=style.mixed(colour, pale),
            edgecolor=colour,
            linewidth=1.8,
            zorder=3,
        )
    )


def text(axes: Axes, x: float, y: float, words: str, size: float = 11, **look: object) -> None:
    """Centred words."""
    options = {"ha": "center", "va": "center", "color": style.INK, "zorder": 6, "linespacing": 1.25} | look
    axes.text(x, y, words, fontsize=size, **options)


def arrow(axes: Axes, start: tuple, end: tuple, colour: str, bend: float = 0.0, **look: object) -> None:
    """An arrow from start to end, bent by a share of its length."""
    options = {"linewidth": 2.0, "linestyle": "-", "zorder": 2} | look
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>,head_width=3.2,head_length=6",
            color=colour,
            shrinkA=0,
            shrinkB=0,
            mutation_scale=1.4,
            **options,
        )
    )


def layers(axes: Axes, x: float, y: float, heights: tuple[float, ...], colour: str) -> None:
    """A network as a row of bars."""
    for place, height in enumerate(heights):
        left = x + 0.2 * (place - (len(heights) - 1) / 2) - 0.06
        axes.add_patch(
            FancyBboxPatch(
                (left, y - height / 2),
                0.12,
                height,
                boxstyle="round,pad=0,rounding_size=0.04",
                facecolor=style.mixed(colour, 0.35),
                edgecolor="none",
                zorder=4,
            )
        )


def draw() -> object:
    """The picture: a frozen teacher, three students taught offline, their ensemble, and its online arrows."""
    figure = style.figure(WIDTH, HEIGHT)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    axes.set_axis_off()
    middle = ROWS[1]

    for left, right, title, words in HEADS:
        text(axes, (left + right) / 2, 6.12, title, 15, fontweight="bold")
        text(axes, (left + right) / 2, 5.76, words, 12, color=style.GREY)
        axes.plot((left, right), (5.52, 5.52), color=style.GRID, linewidth=2.5, solid_capstyle="round")

    box(axes, 1.2, middle, 1.95, 2.6, style.GREY)
    text(axes, 1.2, middle + 0.95, "Teacher", 16, fontweight="bold")
    layers(axes, 1.2, middle + 0.12, (0.95, 0.95, 0.75, 0.75, 0.55, 0.55, 0.4), style.GREY)
    text(axes, 1.2, middle - 0.83, "large, trained,\n\N{SNOWFLAKE} frozen", 12.5)

    box(axes, 9.4, middle, 2.05, 2.6, style.PURPLE)
    text(axes, 9.4, middle + 0.95, "Ensemble", 16, fontweight="bold")
    for place, (_, _, _, colour) in enumerate(STUDENTS):
        for column, height in enumerate(((0.16, 0.55, 0.24), (0.12, 0.62, 0.18), (0.22, 0.5, 0.14))[place]):
            x = 9.4 + 0.54 * (place - 1) + 0.13 * (column - 1)
            axes.bar(x, height, 0.1, bottom=middle - 0.08, color=style.mixed(colour, 0.2), zorder=5)
    text(axes, 9.4, middle - 0.47, "fused logits", 12.5)
    text(axes, 9.4, middle - 0.92, "$g = w_1 z_1 + w_2 z_2 + w_3 z_3$", 12.2)

    for row, (method, knowledge, words, colour) in zip(ROWS, STUDENTS, strict=True):
        start, end = (2.22, middle + 0.36 * (row - middle)), (4.92, row)
        arrow(axes, start, end, colour)
        box(axes, 5.93, row, 1.95, 1.4, colour)
        text(axes, 5.93, row + 0.41, f"{method} student", 13, fontweight="bold")
        layers(axes, 5.93, row - 0.2, (0.55, 0.55, 0.4, 0.26), colour)
        fan = middle + 0.36 * (row - middle)
        arrow(axes, (6.96, row + 0.17), (8.34, fan + 0.17), colour)
        arrow(axes, (8.34, fan - 0.2), (6.96, row - 0.2), style.PURPLE, linestyle=(0, (3, 1.6)))
        x, y = (start[0] + end[0]) / 2 - 0.08, (start[1] + end[1]) / 2
        chip = {"boxstyle": "round,pad=0.38,rounding_size=0.9", "facecolor": colour, "edgecolor": "white"}
        text(axes, x, y, knowledge, 12.5, fontweight="bold", color="white", bbox=chip | {"linewidth": 3})
        text(axes, x, y - 0.52, words, 11)

    arrow(axes, (10.48, middle), (10.86, middle), style.INK)
    text(axes, 11.42, middle, "deploy\nthe best\nstudent,\nor all", 12.5)
    for y, colour, line, words in LEGEND:
        arrow(axes, (8.25, y), (8.85, y), colour, linestyle=line)
        text(axes, 9.0, y, words, 11.5, ha="left")
    return figure


def main() -> None:
    target = (
        sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "docs" / "idea.png"
    )
    print(style.save(draw(), Path(target), dots_per_inch=160))


if __name__ == "__main__":
    run_script(main)
