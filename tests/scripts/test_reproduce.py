"""The reproduction of the tables: its commands, their order, what is finished, and what a failure means."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helper.checkpoint import write_checkpoint
from helper.errors import UserError
from reporting.published import MEASURED_ORDER, by_number
from scripts import reproduce
from scripts.reproduce import Reproduction, is_done, plan
from scripts.runner import Job, Runner
from tests.scripts.stub_training import done, run

ROOT = Path(__file__).resolve().parents[2]


def test_dry_run_prints_teachers_baselines_modreduce_and_students_in_order(place, capsys):
    run("--experiments 9,12 --online wavg,pcl --dry_run")
    path = "--path_t save/models/resnet32x4_vanilla/ckpt_epoch_240.pth"
    group = "python train_modreduce.py {} --model_s {} --distill kd crd semckd --online {} {}"
    tail = "--dataset cifar100 --epochs 240 --seed 1 --trial 1 --resume"
    teacher = f"python train_teacher.py --model resnet32x4 {tail}"
    expected = [teacher]
    for model in ("resnet8x4", "vgg8"):
        expected += [group.format(path, model, online, tail) for online in ("none", "wavg", "pcl")]
        expected.append(teacher.replace("resnet32x4", model))
    assert capsys.readouterr().out.splitlines() == [*expected, "python report.py save --out save/report"]
    assert not (place / "save").exists()


def test_the_commands_are_ones_that_the_training_scripts_take():
    import train_modreduce
    import train_teacher

    parsers = {"train_teacher.py": train_teacher.parser, "train_modreduce.py": train_modreduce.parser}
    words = ("--precision", "fp32", "--nce_k", "512", "--compile", "-b", "0.5", "--train_size=512")
    settings = Reproduction(extra=words)
    jobs = plan(MEASURED_ORDER, [1, 2, 3], ["wavg", "one"], settings)
    for job in jobs:
        args = parsers[job.words[0]]().parse_args(job.words[1:])
        assert args.resume and args.compile and args.precision == "fp32"
        assert args.train_size == 512 and getattr(args, "nce_k", 512) == 512
        assert shlex.split(job.command)[2:] == list(job.words[1:])
    # five teachers, ten students alone, three runs of fifteen groups; vgg13 is both teacher and student
    assert len(jobs) == 5 + 3 * (10 + 3 * 15)
    assert len({job.name for job in jobs}) == len(jobs)


def test_the_home_folder_and_a_space_in_a_name(place, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(place / "my home"))
    run("--experiments 9 --save_folder=~/x --dry_run")
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert commands[1][3] == f"{place}/my home/x/models/resnet32x4_vanilla/ckpt_epoch_240.pth"
    assert commands[-1][2] == f"{place}/my home/x"


def test_all_runs_are_made_once_then_skipped_and_the_teacher_comes_first(place, capsys):
    run("--experiments 9 --seeds 1,2")
    words = [line[4:] for line in done(place)]
    assert words[0][:2] == ["--model", "resnet32x4"] and len(words) == 1 + 2 * 3
    said = capsys.readouterr().out
    assert (
        "7 runs, 0 finished already, 7 to run on the CPU" in said and "report: save/report/report.md" in said
    )
    run("--experiments 9 --seeds 1,2,3")
    assert "10 runs, 7 finished already, 3 to run" in capsys.readouterr().out
    assert len(done(place)) == 10
    run("--experiments 9 --seeds 1,2,3 --dry_run")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and all(line.startswith("# finished: ") for line in lines[:-1])


def test_runs_with_other_settings_do_not_count_as_finished(place):
    run("--experiments 9 -- --train_size 500")

    def count(*extra: str, epochs: int = 240) -> bool:
        settings = Reproduction(epochs=epochs, extra=extra)
        (job,) = [job for job in plan([9], [1], ["wavg"], settings) if "wavg" in job.words]
        return is_done(job, place / "save")

    assert count("--train_size", "500") and count("--train_size=500", "--device", "cpu")
    assert not count() and not count("--train_size=400") and not count("--train_size=500", epochs=2)
    assert not count("--train_size=500", "--nce_k", "512") and count("--train_size=500", "--momentum", "0.9")


def test_a_run_of_an_experiment_s_own_script_counts(place):
    """It says the recipe in its words, which are the defaults; its teacher stands below another folder."""
    run("--experiments 9")
    (path,) = (place / "save").glob("train_modreduce/*wavg*/args.json")
    content = json.loads(path.read_text())
    content["settings"] |= {"lr_decay_epochs": [150, 180, 210], "batch_size": 64}
    content["settings"]["path_t"] = "elsewhere/" + content["settings"]["path_t"]
    path.write_text(json.dumps(content))
    (job,) = [job for job in plan([9], [1], ["wavg"], Reproduction()) if "wavg" in job.words]
    assert is_done(job, place / "save")
    for name, value in {"lr_decay_epochs": [100], "path_t": "vgg13_vanilla/ckpt_epoch_240.pth"}.items():
        path.write_text(json.dumps({"settings": content["settings"] | {name: value}}))
        assert not is_done(job, place / "save")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 1}, "epochs (1 there, 240 wanted)"),
        ({"epoch": 240, "epochs": 200, "changed": {}}, "epochs (200 there, 240 wanted)"),
        ({"epochs": 240, "changed": {"train_size": 500, "seed": 7}}, "train_size (500 there, None wanted)"),
        ({"epochs": 240, "changed": {"dataset": "digits"}}, "dataset (digits there, cifar100 wanted)"),
        (
            {"epochs": 240, "changed": {"lr_decay_epochs": [9]}},
            "lr_decay_epochs ([9] there, [150, 180, 210] wanted)",
        ),
        ({"epochs": 240, "changed": {"seed": 7, "lr_decay_epochs": [150, 180, 210]}}, None),
        ({"epoch": 240}, None),
        ({}, None),
    ],
)
def test_a_teacher_of_other_epochs_or_settings_is_not_taken(place, content, said):
    """As somebody leaves it who has tried train_teacher.py with one epoch; old files say less."""
    path = place / "save/models/resnet32x4_vanilla/ckpt_epoch_240.pth"
    write_checkpoint({"model": {}, **content}, path)
    if said is None:
        run("--experiments 9")
        assert "resnet32x4" not in [line[5] for line in done(place)]
        return
    line = f"{path.relative_to(place)} is another teacher: {said}; move it away"
    with pytest.raises(UserError, match=re.escape(line)):
        reproduce.main(["--experiments", "9", "--gpus", "none"])
    assert not (place / "done.txt").exists()


def test_a_damaged_teacher_is_told_before_anything_runs(place):
    path = place / "save/models/resnet32x4_vanilla/ckpt_epoch_240.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="is damaged"):
        reproduce.main(["--experiments", "9", "--gpus", "none"])


def test_a_folder_that_holds_another_run_is_a_failure(place, capsys):
    """A script that ends well because its folder is finished has not made what was asked for."""
    (place / "train_modreduce.py").write_text("print('finished already: nothing to do')")
    run("--experiments 9", status=1)
    assert "it left no results with these settings" in capsys.readouterr().out


def test_a_failure_stops_only_what_needs_it(place, capsys, monkeypatch):
    monkeypatch.setenv("FAIL", "resnet110")
    run("--experiments 5,9", status=1)
    said = capsys.readouterr().out
    assert "exit status 1: error: out of luck" in said
    assert "its teacher save/models/resnet110_vanilla/ckpt_epoch_240.pth is missing" in said
    assert "3 of 8 runs failed" in said
    assert sorted(line[5] if line[4] == "--model" else "group" for line in done(place)) == [
        "group",
        "group",
        "resnet32",
        "resnet32x4",
        "resnet8x4",
    ]
    monkeypatch.delenv("FAIL")
    run("--experiments 5,9")
    assert "8 runs, 5 finished already, 3 to run" in capsys.readouterr().out


def test_a_student_that_is_a_teacher_too_is_trained_once_and_never_twice_at_a_time(place):
    jobs = plan([13, 10], [1], [], Reproduction())
    teacher, alone = sorted(
        (job for job in jobs if job.words[:3] == ("train_teacher.py", "--model", "vgg13")),
        key=lambda job: job.leaves is None,
    )
    assert teacher.words == alone.words and alone.needs == teacher.leaves
    run("--experiments 13,10 --online none")
    assert sum("--model vgg13" in " ".join(line) for line in done(place)) == 2


@pytest.mark.parametrize(
    "words, said",
    [
        ("--experiments 16", "allowed are 1 to 15"),
        ("--experiments nine", "'nine' is no number or range"),
        ("--seeds 1,-2", "'-2' is no number"),
        ("--gpus 99", "'99' is not there"),
        ("--dataset imagenet", "invalid choice: 'imagenet'"),
        ("--dry_run -- --seed 3", "--seed after -- is set for each run"),
        ("--dry_run -- --model=vgg8", "--model after -- is set for each run"),
        ("--dry_run -- --save_folder x", "--save_folder after -- is set for each run"),
        ("--dry_run -- --precison fp32", "unrecognized arguments: --precison fp32"),
        ("--dry_run -- --nce_k none", "argument --nce_k: 'none' is not a whole number"),
        ("--dry_run -- fp32", "'fp32' after -- is no flag"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(words, said, place):
    with pytest.raises(UserError, match=said):
        reproduce.main(words.split())
    assert not (place / "save").exists()


def test_ranges_and_further_flags_are_read():
    assert reproduce.numbers("--experiments", "9,1-3,2", range(1, 16)) == [9, 1, 2, 3]
    assert by_number(15).folder == "15_wrn_40_2_MobileNetV2"
    words = shlex.split("--nce_k 512 --multiplier 10 1 --train_size 512 -b 0.8 --clip_grad=1 --compile")
    taken = reproduce.words_for("train_teacher.py", ["--model", "any"], words)
    assert taken == ["--train_size", "512", "--clip_grad=1", "--compile"]


@pytest.mark.slow
def test_what_the_real_commands_leave_is_known_as_finished(tmp_path, monkeypatch):
    """A teacher and a student of it on digits, from another folder than the root, below one with a space."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save = Path("a b")
    small = ("--dataset", "digits", "--epochs", "1", "--train_size", "32", "--batch_size", "16")
    small += ("--device", "cpu", "--save_folder", str(save), "--resume")
    path = save / "models/resnet8_digits/ckpt_epoch_1.pth"
    teacher = Job("teacher", ("train_teacher.py", "--model", "resnet8", *small), 1, leaves=path)
    words = (
        "train_modreduce.py",
        "--path_t",
        str(path),
        "--model_s",
        "resnet8",
        "--distill",
        "kd",
        "--online",
    )
    student = Job("student", (*words, "none", *small), 1, needs=path)
    runner = Runner([None], save / "logs", lambda job: is_done(job, save))
    runner.run([student, teacher])
    assert not runner.failed and is_done(student, save) and is_done(teacher, save)
    for changed in (("--kd_T", "2"), ("--seed", "2"), ("--learning_rate", "0.1"), ("--epochs", "2")):
        assert not is_done(replace(student, words=(*student.words, *changed)), save)
    assert is_done(replace(student, words=(*student.words, "--device", "auto", "--trial", "b")), save)
    assert reproduce.complaint(replace(teacher, words=(*teacher.words, "--seed", "2"))) is None
    assert "epochs (1 there, 2 wanted)" in reproduce.complaint(replace(teacher, epochs=2))
    larger = replace(teacher, words=(*teacher.words, "--train_size", "48"))
    assert "train_size (32 there, 48 wanted)" in reproduce.complaint(larger)


def test_help_is_there_before_torch():
    call = [
        sys.executable,
        "-c",
        "import sys, scripts.fetch_teachers as f; assert 'torch' not in sys.modules",
    ]
    subprocess.run(call, cwd=ROOT, check=True)
