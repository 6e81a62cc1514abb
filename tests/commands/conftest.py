"""Runs in processes of their own, for all tests of the commands."""

import os
from pathlib import Path

import pytest

from tests.commands import running
from tests.commands.running import Runner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Runs commands in a folder of the module's own, with a data set and a teacher."""
    folder = tmp_path_factory.mktemp("runs")
    running.make_materials(folder)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    runner = Runner(folder)
    assert runner("train_teacher --model none").status == 2  # the server starts with its first process
    return runner


@pytest.fixture
def root(runner: Runner, request: pytest.FixtureRequest) -> Path:
    """A save folder of the test's own."""
    return runner.folder / f"save_{abs(hash(request.node.name))}"
