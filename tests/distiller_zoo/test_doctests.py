"""The examples in the methods' docstrings run, and say what they say."""

import doctest
import importlib

import pytest

from distiller_zoo import distiller_dict


@pytest.mark.parametrize("name", distiller_dict.modules())
def test_the_example_of_every_loss_runs(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"distiller_zoo.{name}"))
    assert found.attempted > 0, f"distiller_zoo/{name}.py shows no example"
    assert found.failed == 0
