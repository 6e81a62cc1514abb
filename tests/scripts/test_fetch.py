"""Fetching teachers: what is accepted, recorded, refused and said."""

import hashlib
import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from helper.errors import UserError, run_script
from helper.files import locked
from scripts import fetch_teachers as fetch
from tests.scripts.teacher_server import (
    CUT,
    file,
    files,
    place,
    published,
    record,
    run,
    saved,
    serving,
    summary,
    weights,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(monkeypatch, tmp_path):
    yield from serving(monkeypatch, tmp_path)


@pytest.fixture
def save(tmp_path) -> Path:
    return tmp_path / "save"


def test_a_teacher_is_fetched_recorded_and_then_left_alone(server, save, capsys):
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    assert place(save).read_bytes() == published()
    entry = record(save)["resnet56"]
    assert (entry["size"], entry["sha256"]) == (len(published()), hashlib.sha256(published()).hexdigest())
    assert files(save) == ["ckpt_epoch_240.pth", "teachers.json"]
    line = summary(capsys.readouterr().out)
    assert "fetched" in line and f"{len(published()) / 1e6:.1f} MB" in line and entry["sha256"][:12] in line

    assert run(save) == 0
    assert len(server.requests) == 1
    assert "already there, checked" in capsys.readouterr().out


def test_a_zip_archive_of_today_is_fetched_too(server, save):
    content = saved({"model": weights(), "arch": "resnet56", "num_classes": 100})
    server.teacher("resnet56", file(content))
    assert run(save) == 0
    assert place(save).read_bytes() == content


class Evil:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("legacy", [True, False, None], ids=["legacy", "zip", "bare pickle"])
def test_code_in_a_checkpoint_is_not_run(server, save, tmp_path, legacy, capsys):
    marker = tmp_path / "ran"
    content = {"model": weights(), "opt": Evil(marker)}
    server.teacher(
        "resnet56", file(pickle.dumps(Evil(marker), 2) if legacy is None else saved(content, legacy))
    )
    assert run(save) == 1
    assert not marker.exists()
    assert "ckpt_epoch_240.pth holds code" in capsys.readouterr().out or legacy is None
    assert files(save) == []


def broken(name: str) -> object:
    """Checkpoints that load, but are not the resnet56 that was asked for."""
    nan = weights()
    nan["fc.weight"][3, 5] = float("nan")
    return {
        "resnet20": {"model": weights("resnet20")},
        "10 classes": {"model": weights(num_classes=10)},
        "another name": {"model": weights(), "arch": "resnet110"},
        "not finite": {"model": nan},
        "no model": {"epoch": 240, "accuracy": 72.0},
        "a list": [weights()],
        "numbers as keys": {"model": {1: torch.zeros(2)}},
        "words as weights": {"model": {"fc.weight": "none"}},
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "resnet20",
        "10 classes",
        "another name",
        "not finite",
        "no model",
        "a list",
        "numbers as keys",
        "words as weights",
    ],
)
def test_what_is_not_the_teacher_is_refused(server, save, name, capsys):
    server.teacher("resnet56", file(saved(broken(name))))
    assert run(save) == 1
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("resnet56: ") for line in printed) == 1
    assert ".part" not in printed[0]
    assert files(save) == []


def test_another_content_than_at_first_is_refused(server, save, capsys):
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    first = record(save)
    place(save).unlink()
    server.teacher("resnet56", file(published(seed=1)))
    assert run(save) == 1
    assert "is not the resnet56 first fetched" in capsys.readouterr().out
    assert files(save) == ["teachers.json"]
    assert record(save) == first

    (save / "models" / "teachers.json").write_text("{}")
    assert run(save) == 0
    assert place(save).read_bytes() == published(seed=1)


def test_an_altered_file_is_reported_and_left(server, save, capsys):
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    place(save).write_bytes(published(seed=1))
    assert run(save) == 1
    assert place(save).read_bytes() == published(seed=1)
    assert len(server.requests) == 1
    assert summary(capsys.readouterr().out).endswith(f"remove {place(save)}, then fetch again")


def test_a_teacher_trained_here_stays_and_is_not_recorded(server, save, capsys):
    place(save).parent.mkdir(parents=True)
    place(save).write_bytes(published(seed=1))
    assert run(save) == 0
    assert "already there" in summary(capsys.readouterr().out)
    assert (server.requests, files(save)) == ([], ["ckpt_epoch_240.pth"])

    place(save).write_bytes(published(seed=1)[:CUT])
    assert run(save) == 1
    assert "damaged" in summary(capsys.readouterr().out)
    assert place(save).read_bytes() == published(seed=1)[:CUT]


def test_the_repository_helps_out_with_half_precision(server, save, capsys):
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights().items()}
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(
        saved({"model": half, "arch": "resnet56", "accuracy": 70.0})
    )
    assert run(save) == 0
    printed = capsys.readouterr().out
    assert "answered 404" in printed and "from pretrained/" in summary(printed)
    content = torch.load(place(save), weights_only=True)
    assert content["accuracy"] == 70.0
    for key, value in content["model"].items():
        assert value.dtype == (torch.float32 if half[key].is_floating_point() else torch.int64)
        assert torch.equal(value, half[key].to(value.dtype))
    assert record(save)["resnet56"]["sha256"] == hashlib.sha256(place(save).read_bytes()).hexdigest()
    assert run(save) == 0
    place(save).unlink()
    assert run(save) == 0

    place(save).unlink()
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(saved({"model": weights(seed=1)}))
    assert run(save) == 1
    assert not place(save).exists()


def test_the_repository_s_file_is_checked_as_strictly(server, save, capsys):
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(saved({"model": weights("resnet20")}))
    assert run(save) == 1
    assert "of another architecture" in capsys.readouterr().out
    assert files(save) == []


def test_one_failure_does_not_stop_the_others(server, save, capsys):
    server.teacher("resnet56", file(published()))
    (save / "models").mkdir(parents=True)
    (save / "models" / "vgg13_vanilla").write_text("a file where a folder should be")
    assert run(save, "wrn_40_2", "vgg13", "resnet56", "resnet56") == 1
    printed = capsys.readouterr().out
    assert "failed" in summary(printed, "wrn_40_2") and "failed" in summary(printed, "vgg13")
    assert "fetched" in summary(printed, "resnet56")
    assert place(save).exists()
    assert len(server.requests) == 2


def test_without_names_all_six_are_wanted(server, save, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert fetch.main([]) == 1
    names = ["wrn_40_2", "resnet56", "resnet110", "resnet32x4", "vgg13", "ResNet50"]
    assert [path for path, _ in server.requests] == [f"/repo/{n}_vanilla/ckpt_epoch_240.pth" for n in names]
    printed = capsys.readouterr().out
    for name in names:
        assert sum(line.startswith(f"{name}: ") for line in printed.splitlines()) == 1
        assert summary(printed, f"{name} ").endswith(f"python {ROOT / 'train_teacher.py'} --model {name}")


@pytest.mark.parametrize(
    ("arguments", "url", "message"),
    [
        (["resnet50"], None, "unknown teacher 'resnet50'; the published teachers are wrn_40_2, resnet56, "),
        (["../../etc"], None, "unknown teacher '../../etc'"),
        (["--timeout", "0"], None, "--timeout: 0 is not a number above 0"),
        (["--timeout", "1e9"], None, "--timeout is 1e+09 seconds: at most 86400"),
        (["--retries", "-1"], None, "--retries: -1 is not a whole number from 0"),
        (["--backoff", "x"], None, "--backoff: 'x' is not a number from 0"),
        ([], "file:///tmp", "TEACHER_URL is 'file:///tmp': it must be an address that begins with http://"),
        ([], "mirror", "TEACHER_URL is 'mirror'"),
    ],
)
def test_wrong_arguments_end_in_one_line(tmp_path, monkeypatch, capsys, arguments, url, message):
    if url:
        monkeypatch.setenv("TEACHER_URL", url)
    with pytest.raises(SystemExit) as end:
        run_script(lambda: fetch.main([*arguments, "--save_folder", str(tmp_path / "save")]))
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, "")
    assert message in printed.err and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"resnet56": {}}', '{"resnet56": {"size": 1, "sha256": "ab"}}']
)
def test_a_damaged_record_is_not_overwritten(server, save, content):
    (save / "models").mkdir(parents=True)
    (save / "models" / "teachers.json").write_text(content)
    with pytest.raises(UserError, match=r"teachers\.json is damaged"):
        run(save)
    assert (save / "models" / "teachers.json").read_text() == content


def test_a_second_fetch_at_the_same_time_is_refused(server, save):
    lock = locked(save / "models", ".fetch.lock", "busy")
    with lock, pytest.raises(UserError, match="another fetch is under way"):
        run(save)
    assert server.requests == []


def test_an_interrupt_keeps_the_part_and_says_so(server, save, tmp_path):
    """Started as a user does, by the script in the root, from another folder."""
    server.teacher("resnet56", file(published(), cut=CUT, after=server.stall))
    command = ["sh", str(ROOT / "fetch_pretrained_teachers.sh"), "resnet56", "--save_folder", str(save)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        part = place(save).with_name("ckpt_epoch_240.pth.part")
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert f"interrupted; {part} (" in error and "the same command goes on from there" in error
    assert "Traceback" not in error
    kept = part.stat().st_size
    assert 0 < kept <= CUT
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={kept}-"]
    assert place(save).read_bytes() == published()
