"""--cache disk through a whole command."""

from pathlib import Path

from helper.checkpoint import digest, read_checkpoint
from tests.commands.running import run
from tests.pictures import write_digits

WORDS = (
    "train_teacher.py --dataset imagefolder --data_folder digits --image_size 32 --model resnet8 --epochs 1 "
    "--batch_size 16 --device cpu --precision fp32 --workers 1"
)


def test_a_second_run_reuses_the_files_and_has_the_same_bits(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits")
    said = run(*WORDS.split(), "--cache", "disk", "--trial", "one", folder=tmp_path)
    assert "note: crops come from the cached middles of 104 pictures of 37 x 37 pixels" in said
    assert "MB in digits/.cache" in said
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "digits/.cache").iterdir()}
    assert len(files) == 2
    run(*WORDS.split(), "--cache", "disk", "--trial", "two", folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "digits/.cache").iterdir()} == files
    made = [
        read_checkpoint(tmp_path / f"save/train_teacher/resnet8_imagefolder_trial_{name}/teacher_last.pth")
        for name in ("one", "two")
    ]
    assert digest(made[0]["model"]) == digest(made[1]["model"])
    more = ("--cache", "none", "--trial", "one", "--resume")
    said = run(*WORDS.split(), *more, folder=tmp_path, status=2)
    assert "was begun with other settings: cache (disk then, none now)" in said
    (train,) = (tmp_path / "digits/.cache").glob("train-*")
    train.write_bytes(b"")
    said = run(*WORDS.split(), "--cache", "disk", "--trial", "three", folder=tmp_path, status=2)
    (line,) = said.splitlines()
    assert line.startswith(f"error: digits/.cache/{train.name} is no cache of 64 pictures of 37 x 37 pixels")
    assert not (tmp_path / "save/train_teacher/resnet8_imagefolder_trial_three").exists()
