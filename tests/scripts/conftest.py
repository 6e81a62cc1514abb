"""What several test files of the scripts share."""

from pathlib import Path

import pytest

from tests.scripts.stub_training import make_place


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Where stubs stand in for the training scripts; the current folder."""
    return make_place(tmp_path, monkeypatch)
