"""The run's folder of the ranks that write nothing."""

from typing import Any

from engine.run_folder import RunFolder


class SilentFolder(RunFolder):
    """Read as any other, and never written to: what all ranks know, the first one writes."""

    def begin(self, *_: Any) -> None:
        """Nothing: the first rank makes the folder and holds it."""

    def end_epoch(self, *_: Any) -> None:
        """Nothing."""

    def write_network(self, *_: Any) -> None:
        """Nothing."""

    def write_metrics(self, *_: Any) -> None:
        """Nothing."""

    def write_json(self, *_: Any) -> None:
        """Nothing."""

    def write_text(self, *_: Any) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""
