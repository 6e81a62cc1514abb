"""The reproduction of the tables: its commands, their order, runs side by side, and what a failure means."""

import os
import shlex
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from helper.errors import Interrupted, UserError
from reporting.published import MEASURED_ORDER, by_number
from reporting.runs import find_runs
from scripts import reproduce
from scripts.reproduce_plan import Settings, finished_run, plan, read_extra
from scripts.reproduce_pool import Pool, clock

# stands in for the training scripts: writes what they would, fails for the model named in FAIL
STUB = """
import argparse, json, os, pathlib, sys, time
flags = argparse.ArgumentParser()
for name in "model path_t model_s online dataset epochs seed trial save_folder train_size device".split():
    flags.add_argument("--" + name)
flags.add_argument("--distill", nargs="+")
flags.add_argument("--resume", action="store_true")
args = flags.parse_args()
script = pathlib.Path(sys.argv[0]).stem
begun = time.time()
print("epoch 1/2  test accuracy", flush=True)
time.sleep(float(os.environ.get("NAP", 0)))
if os.environ.get("FAIL", "") in (args.model, args.model_s):
    sys.exit("error: out of luck")
save = pathlib.Path(args.save_folder or "save")
epochs = int(args.epochs)
students = [{"name": m, "model": args.model_s, "distill": m} for m in args.distill or []]
students = students or [{"name": "teacher", "model": args.model, "distill": None}]
for student in students:
    student.update(test_acc_last=70.0, test_acc_best=71.0)
teacher = ensemble = None
if args.path_t:
    assert pathlib.Path(args.path_t).exists(), args.path_t
    teacher = {"model": pathlib.Path(args.path_t).parent.name.rsplit("_", 1)[0], "test_acc": 72.0}
if args.online not in (None, "none"):
    ensemble = {"online": args.online, "test_acc_last": 73.0, "test_acc_best": 74.0}
folder = save / script / "_".join([args.model or args.model_s, str(args.online), args.seed])
folder.mkdir(parents=True, exist_ok=True)
settings = {"batch_size": 64, "train_size": args.train_size and int(args.train_size)}
(folder / "args.json").write_text(json.dumps({"settings": settings}))
results = dict(script=script, dataset=args.dataset, epochs=epochs, seed=int(args.seed), device="stub",
               seconds=time.time() - begun, teacher=teacher, students=students, ensemble=ensemble)
(folder / "results.json").write_text(json.dumps(results))
if script == "train_teacher":
    copy = save / "models" / (args.model + "_vanilla") / f"ckpt_epoch_{epochs}.pth"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.touch()
place = os.environ.get("CUDA_VISIBLE_DEVICES", "")
with open("done.txt", "a") as file:
    file.write(f"{place} {begun:.3f} {time.time():.3f} {' '.join(sys.argv)}\\n")
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with stub scripts, in which the reproduction runs; no picture is drawn."""
    for name in ("train_teacher.py", "train_modreduce.py"):
        (tmp_path / name).write_text(STUB)
    monkeypatch.chdir(tmp_path)
    for name in ("FAIL", "NAP", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reproduce, "write_report", lambda folders, out: [out / "report.md"])
    return tmp_path


def run(words: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ending:
        reproduce.main([*words.split(" -- ")[0].split(), "--gpus", "none", *after(words)])
    assert ending.value.code == status


def after(words: str) -> list[str]:
    return ["--", *words.split(" -- ")[1].split()] if " -- " in words else []


def done(place: Path) -> list[list[str]]:
    """Per finished stub: the GPU, start, end, and its words."""
    return [line.split(" ") for line in (place / "done.txt").read_text().splitlines()]


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
    assert sorted(os.listdir(place)) == ["train_modreduce.py", "train_teacher.py"]


def test_the_commands_are_ones_that_the_training_scripts_take():
    import train_modreduce
    import train_teacher

    parsers = {"train_teacher.py": train_teacher.parser, "train_modreduce.py": train_modreduce.parser}
    settings = Settings(extra=read_extra(["--precision", "fp32", "--nce_k", "512", "--compile", "-b", "0.5"]))
    jobs = plan(MEASURED_ORDER, [1, 2, 3], ["wavg", "one"], settings)
    for job in jobs:
        args = parsers[job.words[0]]().parse_args(job.words[1:])
        assert args.resume and args.compile and args.precision == "fp32"
        assert getattr(args, "nce_k", 512) == 512 and shlex.split(job.command)[1:] == list(job.words)
    # five teachers, ten students alone, three runs of fifteen groups; vgg13 is both teacher and student
    assert len(jobs) == 5 + 3 * (10 + 3 * 15)
    assert all(job.work > 0 for job in jobs) and len({job.name for job in jobs}) == len(jobs)


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
    runs = find_runs([place / "save"])
    (job,) = [job for job in plan([9], [1], ["wavg"], Settings()) if job.online == "wavg"]
    assert finished_run(job, runs, Settings()) is None
    assert finished_run(job, runs, Settings(extra=read_extra(["--train_size", "500"])))
    assert finished_run(job, runs, Settings(extra=read_extra(["--train_size=400"]))) is None
    assert finished_run(job, runs, Settings(epochs=100)) is None


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


def test_every_gpu_has_a_run_of_its_own(place, monkeypatch):
    monkeypatch.setenv("NAP", "0.4")
    settings = Settings()
    jobs = plan([9, 5], [1], ["wavg"], settings)
    pool = Pool(["0", "3"], place / "logs", lambda job: True)
    pool.run(jobs)
    assert len(pool.done) == 8 and not pool.failed
    runs = [(line[0], float(line[1]), float(line[2])) for line in done(place)]
    assert {gpu for gpu, _, _ in runs} == {"0", "3"}
    for gpu in ("0", "3"):
        own = sorted((begin, end) for used, begin, end in runs if used == gpu)
        assert all(end <= after_it for (_, end), (after_it, _) in pairwise(own))
    both = [begin for gpu, begin, _ in runs if any(o != gpu and b < begin < e for o, b, e in runs)]
    assert both


def test_a_student_that_is_a_teacher_too_is_trained_once_and_never_twice_at_a_time(place):
    jobs = plan([13, 10], [1], [], Settings())
    teacher, alone = sorted(
        (job for job in jobs if job.words[:3] == ("train_teacher.py", "--model", "vgg13")),
        key=lambda job: job.leaves is None,
    )
    assert teacher.words == alone.words and alone.needs == teacher.leaves
    run("--experiments 13,10 --online none")
    assert sum("--model vgg13" in " ".join(line) for line in done(place)) == 2


def test_the_time_left_follows_the_epochs_that_the_logs_show(place):
    job = plan([9], [1], [], Settings())[0]
    pool = Pool([None], place, lambda job: True)
    assert pool.seconds_left([job]) is None
    pool._spent.append((job.work, 10.0))
    assert pool.seconds_left([job, job]) == pytest.approx(20.0)
    pool = Pool(["0", "1"], place, lambda job: True, speed=job.work)
    assert pool.seconds_left([job] * 4) == pytest.approx(2)
    assert (clock(59), clock(3720)) == ("0 min 59 s", "1 h 02 min")


def test_a_stop_reaches_the_runs_and_ends_with_its_signal(place):
    """SIGTERM to the reproduction: the run gets it, may save, and the same command goes on later."""
    (place / "train_teacher.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n    pathlib.Path('saved').touch()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\npathlib.Path('ready').touch()\ntime.sleep(60)\n"
    )

    def stop_once_it_runs() -> None:
        while not (place / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    killer = threading.Thread(target=stop_once_it_runs, daemon=True)
    killer.start()
    with pytest.raises(Interrupted, match="goes on where this one was") as stop:
        reproduce.main(["--experiments", "9", "--gpus", "none"])
    assert stop.value.signal_number == signal.SIGTERM and (place / "saved").exists()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "words, said",
    [
        ("--experiments 16", "allowed are 1 to 15"),
        ("--experiments nine", "'nine' is no number or range"),
        ("--seeds 1,-2", "'-2' is no number"),
        ("--gpus 99", "'99' is not there"),
        ("--dataset imagenet", "invalid choice: 'imagenet'"),
        ("--dry_run -- --seed 3", "--seed after -- is set for each run"),
        ("--dry_run -- fp32", "'fp32' after -- is no flag"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(words, said, place):
    with pytest.raises(UserError, match=said):
        reproduce.main(words.split())
    assert not (place / "save").exists()


def test_ranges_and_further_flags_are_read():
    assert reproduce.numbers("--experiments", "9,1-3,2", range(1, 16)) == [9, 1, 2, 3]
    words = "-b 0.8 --multiplier 10 1 --precision=fp32 --compile --shift -1.5"
    assert read_extra(words.split()) == {
        "beta": ("0.8",),
        "multiplier": ("10", "1"),
        "precision": ("fp32",),
        "compile": (),
        "shift": ("-1.5",),
    }
    assert by_number(15).folder == "15_wrn_40_2_MobileNetV2"
