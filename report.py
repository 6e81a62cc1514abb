"""Tables and figures over finished runs: report.md, report.csv and report.png.

    python report.py                                   every run below save/ and results/, into save/report/
    python report.py save /mnt/other/save --out tables
    python report.py results --out results --into results/README.md    # also between the marks in that file
    python report.py --curves RUN_A RUN_B --out curves.png      # test accuracy of chosen runs in one picture
    python report.py --curves RUN_A RUN_B --students kd ensemble --out curves.pdf

Runs with the published recipe (CIFAR-100, 240 epochs, ...) stand beside the published numbers, with the
commands of what is missing; all other runs get tables of their own.
"""

from pathlib import Path

from helper.arguments import Parser
from helper.errors import UserError, run_script

DEFAULT_FOLDERS = ("save", "results")


def parser() -> Parser:
    """The flags of this script."""
    flags = Parser(__doc__)
    flags.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="default: save and results")
    flags.add_argument("--out", type=Path, help="folder of the report (save/report), or file of the curves")
    flags.add_argument("--into", type=Path, metavar="FILE", help="a Markdown file with marks for the report")
    flags.add_argument(
        "--curves", nargs="+", type=Path, metavar="RUN", help="overlay the curves of these runs"
    )
    flags.add_argument(
        "--students", nargs="+", default=[], metavar="NAME", help="only these students' curves"
    )
    return flags


def main() -> None:
    args = parser().parse_args()
    # pandas and matplotlib take seconds to import: a wrong flag is told before
    if args.curves:
        if args.folders or args.into:
            raise UserError("--curves draws the runs that it names: leave FOLDER and --into out")
        from reporting.curves import curves_figure
        from reporting.style import save

        figure = curves_figure(args.curves, args.students)
        print(save(figure, args.out or Path("curves.png")))
        return
    if args.students:
        raise UserError("--students chooses curves: give --curves RUN ... too")
    folders = args.folders or [folder for folder in map(Path, DEFAULT_FOLDERS) if folder.is_dir()]
    if not folders:
        raise UserError(
            f"no folder {' or '.join(DEFAULT_FOLDERS)} here: name the folders with finished runs, or train "
            "first, for example with sh scripts/reproduce.sh --experiments 9"
        )
    from reporting.write import write_report

    for path in write_report(folders, args.out or Path("save/report"), args.into):
        print(path)


if __name__ == "__main__":
    run_script(main)
