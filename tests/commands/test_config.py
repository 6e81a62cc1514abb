"""Flags from a file: a run repeated from its args.json, flags typed beside it, values as they stand there."""

import json
from pathlib import Path

import pytest

import train_modreduce
import train_student
import train_teacher
from helper.arguments import Parser
from helper.errors import UserError
from tests.commands.running import outcome, run, run_folder

SMALL = "--dataset npz --data_folder digits.npz --batch_size 16 --epochs 2 --precision fp32 --device cpu"
RUNS = {
    "teacher": "train_teacher.py --model resnet8 --optimizer adamw --warmup_epochs 1 --lr_decay_epochs 1",
    "student": "train_student.py --path_t teacher.pth --model_s resnet8 --distill crd --nce_k 8 -a 0.5",
    "group": "train_modreduce.py --path_t teacher.pth --model_s resnet8 vgg8 --distill kd rkd --beta 0 0.5 "
    "--multiplier 2 --val_split 0.25 --save_every 0 --online one",
    "peers": "train_modreduce.py --path_t none --model_s resnet8 resnet8 --online dml --schedule cosine",
    "other code": "train_teacher.py --model torchvision:shufflenet_v2_x0_5 --small_stem",
}
PARSERS = {"train_teacher": train_teacher, "train_student": train_student, "train_modreduce": train_modreduce}
STUDENT = {"path_t": "T.pth", "model_s": "resnet8", "distill": "kd"}


def parsed(script: str, content: object, *words: str, folder: Path) -> dict:
    """What a script's flags are with such a file."""
    (folder / "flags.json").write_text(json.dumps(content))
    flags = PARSERS[script].parser()
    return vars(flags.parse_args(["--config", str(folder / "flags.json"), *words]))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_repeated_from_its_args(name, runner, root):
    """The same settings and bits in another folder; and the settings are those of the typed command."""
    script, *words = [*RUNS[name].split(), *SMALL.split()]
    first, second = root, root.with_name(f"{root.name}_again")
    run(script, *words, "--save_folder", first.name, folder=runner.folder)
    args = run_folder(first) / "args.json"
    run(script, "--config", args, "--save_folder", second.name, folder=runner.folder)
    asked, again = (json.loads((run_folder(where) / "args.json").read_text()) for where in (first, second))
    assert again["settings"].pop("place") != asked["settings"].pop("place")
    assert (again["settings"], again["changed"]) == (asked["settings"], asked["changed"])
    left, expected = outcome(second), outcome(first)
    assert [key for key in expected if left[key] != expected[key]] == []
    said = run(script, "--config", args, "--resume", folder=runner.folder)
    assert "is finished already, with these settings: nothing to do" in said
    said = run(script, "--config", args, "--seed", 2, "--resume", folder=runner.folder, status=2)
    assert "with other settings: " in said and "seed (1 then, 2 now)" in said and said.count("\n") == 1


def test_what_is_typed_wins_wherever_it_stands(tmp_path):
    content = {**STUDENT, "epochs": 60, "gamma": 0.1, "alpha": 0.9, "optimizer": "adamw", "resume": True}
    found = parsed("train_student", content, "-a", "0", "--epochs=3", "--optimizer", "sgd", folder=tmp_path)
    wanted = {"epochs": 3, "gamma": 0.1, "alpha": 0.0, "optimizer": "sgd", "resume": True}
    assert {name: found[name] for name in wanted} == wanted and "config" not in found
    file = str(tmp_path / "flags.json")
    words = ["--epochs", "240", f"--config={file}", "--model_s", "vgg8"]
    found = vars(train_student.parser().parse_args(words))
    assert (found["epochs"], found["model_s"]) == (240, "vgg8")


def test_a_file_says_what_the_same_words_say(tmp_path):
    content = {
        "path_t": "a/T.pth",
        "model_s": "resnet8",
        "distill": ["kd", "crd"],
        "beta": [0, 0.8],
        "multiplier": 3,
        "lr_decay_epochs": [1, 2],
        "weight_decay": 5e-05,
        "trial": 2,
        "epochs": "3",
        "compile": True,
        "deterministic": False,
        "train_size": None,
    }
    words = "--path_t a/T.pth --model_s resnet8 --distill kd crd --beta 0 0.8 --multiplier 3 --epochs 3"
    words += " --lr_decay_epochs 1,2 --weight_decay 5e-05 --trial 2 --compile"
    typed = vars(train_modreduce.parser().parse_args(words.split()))
    found = parsed("train_modreduce", content, folder=tmp_path)
    assert found == typed
    assert [type(value) for value in found.values()] == [type(typed[name]) for name in found]
    single = {"lr_decay_epochs": 2} | {name: content[name] for name in ("path_t", "model_s")}
    assert parsed("train_modreduce", single, folder=tmp_path)["lr_decay_epochs"] == [2]


def test_a_file_without_teacher_means_none(tmp_path):
    found = parsed("train_modreduce", {"path_t": None, "model_s": ["a", "b"]}, folder=tmp_path)
    assert found["path_t"] == Path("none")
    with pytest.raises(UserError, match="required: --path_t"):
        parsed("train_student", {**STUDENT, "path_t": None}, folder=tmp_path)


def test_a_file_leaves_the_defaults_as_they_are(tmp_path):
    """They say which settings a run has changed."""
    (tmp_path / "flags.json").write_text(json.dumps({"model": "resnet8", "epochs": 3}))
    flags = train_teacher.parser()
    values = vars(flags.parse_args(["--config", str(tmp_path / "flags.json")]))
    assert (values["epochs"], flags.defaults(values)["epochs"]) == (3, 240)


@pytest.mark.parametrize("content", [{"trial": ["a"]}, {"learning_rate": [0.1]}])
def test_a_list_is_no_value(content, tmp_path):
    with pytest.raises(UserError, match=r"flags.json: \w+: \[.*\] is a list, where one value is allowed"):
        parsed("train_teacher", {"model": "resnet8", **content}, folder=tmp_path)


def test_a_long_value_is_cut_in_the_line(tmp_path):
    with pytest.raises(UserError) as error:
        parsed("train_teacher", {"model": "resnet8", "resume": "x" * 1000}, folder=tmp_path)
    assert len(str(error.value)) < 300


def test_a_command_without_config_does_not_take_it():
    with pytest.raises(UserError, match="unrecognized arguments: --config x"):
        Parser("a command").parse_args(["--config", "x"])
