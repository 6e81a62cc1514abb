"""Runs side by side: who gets which GPU, how far they are, and what a signal means."""

import os
import signal
import threading
import time
from itertools import pairwise

import pytest

from helper.errors import Interrupted
from scripts import reproduce
from scripts.reproduce import Reproduction, plan
from scripts.runner import Job, Runner
from tests.scripts.stub_training import done


def test_every_gpu_has_a_run_of_its_own(place, monkeypatch):
    monkeypatch.setenv("NAP", "0.4")
    runner = Runner(["0", "3"], place / "logs", lambda job: True)
    runner.run(plan([9, 5], [1], ["wavg"], Reproduction()))
    assert runner.ended == 8 and not runner.failed
    runs = [(line[0], float(line[1]), float(line[2])) for line in done(place)]
    assert {gpu for gpu, _, _ in runs} == {"0", "3"}
    for gpu in ("0", "3"):
        own = sorted((begin, end) for used, begin, end in runs if used == gpu)
        assert all(end <= after_it for (_, end), (after_it, _) in pairwise(own))
    both = [begin for gpu, begin, _ in runs if any(o != gpu and b < begin < e for o, b, e in runs)]
    assert both


def test_the_progress_counts_the_epochs_that_are_left(place, monkeypatch, capsys):
    """A run that goes on at epoch 4 of 5 has two to make; one that is finished already has none."""
    (place / "resumed.py").write_text("print('epoch 4/5  x', flush=True); print('epoch 5/5  x', flush=True)")
    (place / "finished.py").write_text("print('finished already')")
    (place / "broken.py").write_text("print('epoch 1/5  x', flush=True); raise SystemExit('error: no')")
    names = ("resumed", "finished", "broken")
    bars = []
    bar_of = Runner._bar
    monkeypatch.setattr(Runner, "_bar", lambda *arguments: bars.append(bar_of(*arguments)) or bars[0])
    runner = Runner([None], place / "logs", lambda job: True)
    runner.run([Job(name, (f"{name}.py",), 5) for name in names])
    assert (bars[0].n, bars[0].total) == (3, 3)
    assert [job.name for job in runner.failed] == ["broken"]
    assert (place / "logs/resumed.log").read_text().startswith("$ python resumed.py\nepoch 4/5")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_stop_reaches_the_runs_and_ends_with_its_signal(place, number):
    """The run gets SIGTERM, may save, and the same command goes on later."""
    (place / "train_teacher.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n    pathlib.Path('saved').touch()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\npathlib.Path('ready').touch()\ntime.sleep(60)\n"
    )

    def stop_once_it_runs() -> None:
        while not (place / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    killer = threading.Thread(target=stop_once_it_runs, daemon=True)
    killer.start()
    with pytest.raises(Interrupted, match="goes on where this one was") as stop:
        reproduce.main(["--experiments", "9", "--gpus", "none"])
    assert stop.value.signal_number == number and (place / "saved").exists()
    assert signal.getsignal(number) is before


def test_a_second_stop_kills_what_does_not_leave(place):
    (place / "train_teacher.py").write_text(
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: pathlib.Path('asked').touch())\n"
        "pathlib.Path('ready').write_text(str(os.getpid()))\n"
        "while True: time.sleep(1)\n"
    )

    def stop_twice() -> None:
        for mark in ("ready", "asked"):
            while not (place / mark).exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_twice, daemon=True).start()
    with pytest.raises(Interrupted):
        reproduce.main(["--experiments", "9", "--gpus", "none"])
    with pytest.raises(ProcessLookupError):
        os.kill(int((place / "ready").read_text()), 0)
