"""What all tests of this folder begin with."""

import pytest
import torch


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)
