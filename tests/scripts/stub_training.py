"""A folder in which stubs stand in for the training scripts, for the tests of what runs them."""

from pathlib import Path

import pytest

import scripts
from helper.checkpoint import write_checkpoint
from scripts import reproduce

# stands in for the training scripts: writes what they would, fails for the model named in FAIL
STUB = """
import argparse, json, os, pathlib, shutil, sys, time
flags = argparse.ArgumentParser()
for name in "model path_t model_s online dataset epochs seed trial save_folder train_size device".split():
    flags.add_argument("--" + name)
flags.add_argument("--distill", nargs="+")
flags.add_argument("--resume", action="store_true")
args = flags.parse_args()
script = pathlib.Path(sys.argv[0]).stem
begun = time.time()
print(f"epoch {args.epochs}/{args.epochs}  test accuracy", flush=True)
time.sleep(float(os.environ.get("NAP", 0)))
if os.environ.get("FAIL", "") in (args.model, args.model_s):
    sys.exit("error: out of luck")
save = pathlib.Path(args.save_folder or "save")
epochs = int(args.epochs)
assert not args.path_t or pathlib.Path(args.path_t).exists(), args.path_t
folder = save / script / "_".join([args.model or args.model_s, str(args.online), args.seed])
folder.mkdir(parents=True, exist_ok=True)
numbers = ("epochs", "seed", "train_size")
settings = {name: int(value) if name in numbers and value else value for name, value in vars(args).items()}
settings["model_s"] = args.model_s and [args.model_s]
(folder / "args.json").write_text(json.dumps({"settings": settings}))
(folder / "results.json").write_text("{}")
if script == "train_teacher":
    copy = save / "models" / (args.model + "_vanilla") / f"ckpt_epoch_{epochs}.pth"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"made_in_{epochs}.pth", copy)
place = os.environ.get("CUDA_VISIBLE_DEVICES", "")
with open("done.txt", "a") as file:
    file.write(f"{place} {begun:.3f} {time.time():.3f} {' '.join(sys.argv)}\\n")
"""


def make_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stub scripts, in which the reproduction runs as in the root; no picture is drawn."""
    for name in ("train_teacher.py", "train_modreduce.py"):
        (tmp_path / name).write_text(STUB)
    for epochs in (2, 240):
        write_checkpoint({"model": {}, "epoch": epochs}, tmp_path / f"made_in_{epochs}.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    for name in ("FAIL", "NAP", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("reporting.write.write_report", lambda folders, out: [out / "report.md"])
    return tmp_path


def run(words: str, status: int = 0) -> None:
    """Reproduce on the CPU, and expect that exit status."""
    with pytest.raises(SystemExit) as ending:
        reproduce.main([*words.split(" -- ")[0].split(), "--gpus", "none", *after(words)])
    assert ending.value.code == status


def after(words: str) -> list[str]:
    """The words after --, with it."""
    return ["--", *words.split(" -- ")[1].split()] if " -- " in words else []


def done(place: Path) -> list[list[str]]:
    """Per finished stub: the GPU, start, end, and its words."""
    return [line.split(" ") for line in (place / "done.txt").read_text().splitlines()]
