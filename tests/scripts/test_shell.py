"""The shell scripts as users call them: from any folder, with any name of a folder, and further flags."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distiller_zoo import distiller_dict
from helper.errors import UserError
from models import model_dict

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(ROOT.glob("scripts/**/*.sh"))
# teacher, student, in the order of the experiments
PAIRS = """wrn_40_2 wrn_16_2, wrn_40_2 wrn_40_1, resnet56 resnet20, resnet110 resnet20, resnet110 resnet32,
vgg13 MobileNetV2, resnet32x4 ShuffleV1, wrn_40_2 ShuffleV1, resnet32x4 resnet8x4, vgg13 vgg8,
resnet32x4 ShuffleV2, resnet32x4 vgg8, resnet32x4 vgg13, vgg13 ShuffleV2, wrn_40_2 MobileNetV2"""
# stands in for Python: notes where it was called, and each word that it was given
RECORDER = """#!/bin/sh
{ printf '%s\\n' "$PWD"; for word; do printf '%s\\n' "$word"; done; echo ---; } >>"$CALLS"
"""
# stands in for a training script: leaves what it would, fails for pcl
TRAINING = """
import json, pathlib, sys
words = sys.argv[1:]
if "pcl" in words:
    sys.exit("error: made up")
folder = pathlib.Path(words[words.index("--save_folder") + 1]) / "run"
folder.mkdir(parents=True)
(folder / "results.json").write_text("{}")
(folder / "metrics.csv").write_text("epoch")
settings = {"path_t": "/secret/place/t.pth", "command": "x --path_t /secret/place/t.pth"}
(folder / "args.json").write_text(json.dumps(settings))
with open("calls", "a") as calls:
    print(json.dumps(sys.argv), file=calls)
"""


@pytest.fixture
def root(tmp_path) -> Path:
    """A copy of the project's scripts in a folder with a space, with a Python that only notes its words."""
    copy = tmp_path / "the project"
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    python = copy / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER)
    python.chmod(0o755)
    for name in ("pyt.txt", ".venv/pyt.txt.installed"):  # so that nothing is to be installed
        shutil.copy(ROOT / "pyt.txt", copy / name)
    (tmp_path / "user's own").mkdir()
    return copy


def call(root: Path, script: str, *words: str, **variables: str) -> list[list[str]]:
    """The words of each Python that a script starts when it is called from another folder."""
    user, calls = root.parent / "user's own", root.parent / "calls"
    environment = {**os.environ, "CALLS": str(calls), **variables}
    command = ["sh", os.path.relpath(root / script, user), *words]
    done = subprocess.run(command, cwd=user, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [part.splitlines() for part in calls.read_text().split("---\n")[:-1]]
    assert all(place == str(user) for place, *_ in found), "paths count from where the user stands"
    return [words for _, *words in found]


def parsed(root: Path, words: list[str]):
    """What a command of the root makes of its words."""
    script = Path(words[0]).relative_to(root)
    module = __import__(script.stem)
    return module.parser().parse_args(words[1:])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_valid_and_leave_the_user_where_they_stand(script):
    subprocess.run(["sh", "-n", str(script)], check=True)
    if script.name != "test.sh":
        assert not re.search(r"^\s*cd ", script.read_text(), re.MULTILINE)


@pytest.mark.parametrize("number, pair", list(enumerate(PAIRS.replace("\n", " ").split(","), start=1)))
def test_every_experiment_has_its_script(number, pair, root):
    from modreduce.build import plan_students

    teacher, student = pair.split()
    script = f"scripts/experiments/{number:02d}_{teacher}_{student}.sh"
    (words,) = call(root, script, "--seed", "3", "--data_folder", "../my data", ONLINE="one")
    assert Path(words[0]) == root / "train_modreduce.py"
    args = parsed(root, words)
    assert str(args.path_t) == f"save/models/{teacher}_vanilla/ckpt_epoch_240.pth"
    assert (args.model_s, args.online, args.epochs, args.seed) == ([student], "one", 240, 3)
    assert str(args.data_folder) == "../my data"
    plans = plan_students(args.distill, args.model_s, teacher, vars(args))
    assert {teacher, student} <= model_dict.keys() and len(plans) == 3


def test_the_lines_of_the_cifar_scripts(root):
    """Each line is valid, its weights are those of the table of methods, and further flags go to all."""
    lines = call(root, "scripts/run_cifar_distill.sh", "--trial", "b", TEACHER="vgg13", STUDENT="vgg8")
    methods = []
    for words in lines:
        args = parsed(root, words)
        assert (args.model_s, args.trial, args.resume) == ("vgg8", "b", True)
        assert str(args.path_t) == "save/models/vgg13_vanilla/ckpt_epoch_240.pth"
        methods.append(args.distill)
        kind = distiller_dict[args.distill]
        if args.distill != "kd" and args.beta is not None:
            assert args.beta == kind.weights_for(args.model_s, "vgg13").beta
    assert set(methods) == distiller_dict.keys() - distiller_dict.aliases()
    (root.parent / "calls").unlink()
    lines = call(root, "scripts/run_cifar_vanilla.sh", "--save_folder", "a b")
    assert all(parsed(root, words).resume and words[-1] == "a b" for words in lines)
    assert {parsed(root, words).model for words in lines} >= {
        name for pair in PAIRS.split(",") for name in pair.split()
    }


def test_the_demo_takes_a_folder_with_a_space(root):
    train, modreduce, evaluate = call(root, "scripts/demo.sh", SAVE="a b")
    assert str(parsed(root, train).save_folder) == "a b"
    args = parsed(root, modreduce)
    assert (str(args.save_folder), str(args.path_t)) == ("a b", "a b/models/resnet14_digits/ckpt_epoch_8.pth")
    files = [word for word in evaluate if word.endswith(".pth")]
    assert len(files) == 4 and {Path(file).parts[:2] for file in files} == {("a b", "train_modreduce")}


@pytest.mark.parametrize(
    ("script", "started"),
    [
        ("scripts/reproduce.sh", "scripts/reproduce.py"),
        ("scripts/fetch_pretrained_teachers.sh", "scripts/fetch_teachers.py"),
        ("scripts/cpu_evidence.sh", "scripts/cpu_evidence.py"),
        ("scripts/digits_evidence.sh", "scripts/digits_evidence.py"),
    ],
)
def test_words_arrive_whole(script, started, root):
    (words,) = call(root, script, "--save_folder", "a b", "--", "--data_folder", "it's")
    assert words == [str(root / started), "--save_folder", "a b", "--", "--data_folder", "it's"]


@pytest.fixture
def working(root) -> Path:
    """The copy with the real Python and the rooms of the project, and stubs in place of training."""
    (root / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    for room in (path.parent.name for path in ROOT.glob("*/__init__.py")):
        if room not in ("scripts", "tests"):
            (root / room).symlink_to(ROOT / room)
    for name in ("train_teacher.py", "train_student.py", "train_modreduce.py"):
        (root / name).write_text(TRAINING)
    return root


def test_the_cpu_evidence(working):
    """No folder of the machine is kept, a second call runs only what failed, and the flags are valid ones."""
    user = working.parent / "user's own"
    (user / "t.pth").touch()
    variables = {"SAVE": "a b", "TEACHER": "t.pth", "DATA": "my data", "SEEDS": "1 2", "JOBS": "2"}
    command = ["sh", str(working / "scripts/cpu_evidence.sh")]
    environment = os.environ | variables
    said = [subprocess.run(command, cwd=user, env=environment, capture_output=True, text=True) for _ in "12"]
    assert [run.returncode for run in said] == [1, 1], said[0].stdout + said[0].stderr
    assert "failed    pcl_kd_crd_semckd_seed_1: exit status 1: error: made up" in said[0].stdout
    assert "start     quick_pcl" in said[1].stdout and "start     wavg" not in said[1].stdout
    assert "3 of 15 runs failed" in said[1].stdout
    methods = [
        "none_kd_crd_semckd",
        "none_rkd_fitnet",
        "wavg_kd_crd_semckd",
        "one_kd_crd_semckd",
        "fc_kd_crd_semckd",
    ]
    names = sorted(f"{what}_seed_{seed}" for what in ("alone", *methods) for seed in "12")
    out = user / "a b/results"
    kept = [f"{name}.{end}" for name in names for end in ("args.json", "json", "metrics.csv")]
    assert sorted(path.name for path in out.iterdir()) == sorted(kept)
    settings = (out / "wavg_kd_crd_semckd_seed_2.args.json").read_text()
    assert settings == '{"path_t": "t.pth", "command": "x --path_t t.pth"}'
    calls = [json.loads(line) for line in (user / "calls").read_text().splitlines()]
    assert len(calls) == len(names)
    for words in calls:
        args = parsed(working, words)
        assert (args.train_size, args.epochs, str(args.data_folder)) == (10000, 6, "my data")
        assert words[0].endswith("train_teacher.py") or str(args.path_t) == "t.pth"


def test_the_digits_evidence_has_a_run_of_every_method(working):
    """Its commands are valid, and the table of the zoo is whole."""
    user = working.parent / "user's own"
    (user / "t.pth").touch()
    environment = os.environ | {"TEACHER": "t.pth", "SEEDS": "7", "JOBS": "1"}
    command = ["sh", str(working / "scripts/digits_evidence.sh")]
    done = subprocess.run(command, cwd=user, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = [json.loads(line) for line in (user / "calls").read_text().splitlines()]
    alone = {parsed(working, words).distill for words in calls if words[0].endswith("train_student.py")}
    assert alone == distiller_dict.keys() - distiller_dict.aliases()
    groups = [parsed(working, words) for words in calls if words[0].endswith("train_modreduce.py")]
    assert [args.distill for args in groups] == [["dkd", "itrd", "dist"], ["kd", "reviewkd", "simkd"]]
    kept = {path.name for path in (user / "save/digits/results").iterdir()}
    assert {"alone_seed_7.json", "simkd_seed_7.metrics.csv", "kd_standardised_seed_7.args.json"} <= kept


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"SEEDS": "one"},
            "SEEDS or JOBS: 'one' is not a whole number from 0; write them like SEEDS='1 2 3'",
        ),
        ({"JOBS": "0"}, "SEEDS or JOBS: 0 is not a whole number from 1"),
        ({"SAVE": "occupied"}, "SAVE: occupied is a file, not a folder"),
        ({"OUT": "occupied/x"}, "OUT: {here}/occupied is a file, not a folder"),
    ],
)
def test_wrong_variables_of_the_cpu_evidence_are_one_line(tmp_path, monkeypatch, variables, line):
    from scripts import cpu_evidence

    (tmp_path / "occupied").touch()
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        cpu_evidence.main()
    assert str(error.value).startswith(line.replace("{here}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


def test_a_home_after_an_equals_sign_is_the_home_folder(working):
    """The shell leaves `--save_folder=~/x` as it is."""
    home, user = working.parent / "home", working.parent / "user's own"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "TEACHER_URL": "http://127.0.0.1:9/repo"}
    words = ["resnet56", "--save_folder=~/x", "--retries", "0"]
    command = ["sh", str(working / "scripts/fetch_pretrained_teachers.sh"), *words]
    done = subprocess.run(command, cwd=user, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "failed" in done.stdout, done.stderr
    assert (home / "x/models").is_dir() and not [*user.iterdir()]


def test_further_packages_leave_the_torch_that_is_there(root):
    """`setup.sh extra` installs pyt-extra.txt once, held to the versions that stand in .venv."""
    shutil.copy(ROOT / "pyt-extra.txt", root / "pyt-extra.txt")
    python, uv = root / ".venv/bin/python", root / ".venv/bin/uv"
    python.write_text('#!/bin/sh\ncase "$2" in *torchvision*) echo torch==9.9;; esac\n')
    uv.write_text(RECORDER)
    uv.chmod(0o755)
    (words,) = call(root, "scripts/setup.sh", "extra")
    assert words[words.index("-r") + 1] == str(root / "pyt-extra.txt")
    constraint = Path(words[words.index("--constraint") + 1])
    assert constraint.read_text() == "torch==9.9\n"
    (root.parent / "calls").write_text("")
    assert call(root, "scripts/setup.sh", "extra") == [] and call(root, "scripts/setup.sh") == []
