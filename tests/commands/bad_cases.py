"""The table of bad input: what a user types, and the beginning of the line that it prints.

`bad_input/<script>.txt` has the cases of a script: its own words, and below them, indented, the line, which
stands after 'error: '. In front of a case's own words stand the usual ones of the script (USUAL), unless it
says NOTHING; LONG is a word of 300 letters, {run} the beginning of a run's folder, {here} the current folder.
What the files hold is said in bad_materials.py.
"""

from pathlib import Path

DATA = "--dataset npz --data_folder good.npz --device cpu"
TRAINING = f"{DATA} --batch_size 8 --epochs 2"
USUAL = {
    "train_teacher": f"--model resnet8 {TRAINING}",
    "train_student": f"--path_t teacher.pth --model_s resnet8 --distill kd {TRAINING}",
    "train_modreduce": f"--path_t teacher.pth --model_s resnet8 --distill kd rkd {TRAINING}",
    "evaluate": f"--path teacher.pth {DATA}",
    "export": "--path whole.pth --out shipped --formats safetensors --no_latency",
    "predict": "pictures --path whole.pth --device cpu --workers 0",
}
RUN = "save/train_student/S_resnet8_T_resnet8_npz_kd_trial"


def read_cases() -> list[tuple[str, str]]:
    """Every command, its script first, with the line that it prints."""
    found = []
    for table in sorted((Path(__file__).parent / "bad_input").glob("*.txt")):
        lines = table.read_text(encoding="utf-8").splitlines()
        for own, said in zip(lines[::2], lines[1::2], strict=True):
            assert said.startswith("    ") and not own.startswith(" "), f"{table}: {own}"
            found.append((f"{table.stem} {own}", said.strip()))
    return found


CASES = read_cases()
