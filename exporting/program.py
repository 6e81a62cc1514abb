"""torch.export's format: the network's operations with its weights, run without its code."""

import json
from pathlib import Path

import torch

from exporting.deployed import Deployed
from exporting.formats import Format, Logits, quiet
from helper.checkpoint import ENTRIES
from helper.errors import told_in_a_line


class Program(Format):
    """What `torch.export.load` reads."""

    file = "model.pt2"
    runtime = "torch.export"

    def write(self, network: Deployed, folder: Path) -> None:
        entries = {f"{ENTRIES}.json": json.dumps(network.record.entries())}
        with quiet(), told_in_a_line(f"{network.arch} cannot be written as {self.file}"):
            torch.export.save(network.program, folder / self.file, extra_files=entries)

    def read(self, network: Deployed, folder: Path, threads: int | None = None) -> Logits:
        with quiet(), told_in_a_line(f"{self.file} cannot be read back"):
            return torch.no_grad()(torch.export.load(folder / self.file).module())
