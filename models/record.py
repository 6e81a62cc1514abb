"""What a network's file says of what it was made for and how: one record, written and read here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from helper.sizes import ImageSize, is_size, shown

ROW = (list, tuple)
KINDS = {
    "accuracy": (int, float),
    "class_names": ROW,
    "mean": ROW,
    "std": ROW,
    "changed": dict,
    "taps": ROW,
    "small_stem": bool,
    "image_size": (int, str),
    "ema": (int, float),
}
WORDS = ("class_names", "taps")
LEFT_OUT = ("taps", "small_stem", "resize", "ema")  # where there is nothing to say
NUMBERS = ("num_classes", "epoch", "epochs", "resize")


@dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """Everything that the use of a network depends on beside its weights; None is what a file does not say.

    arch: its network's name; student: its name in its run; epoch, epochs: when it was kept, and the length
    of its run; accuracy: in percent on the test set, at `precision`; image_size: in pixels (`helper.sizes`);
    resize: to how many the shorter side of a picture is brought before its middle is cut out (None: the
    picture is scaled to image_size as a whole); mean, std: of each channel, with which its images are
    normalised, in units where white is 1; class_names: in the order of its logits; dataset: the data set's
    name, data_sha256: its hash; settings_sha256: of its run's settings, changed: those that are not the
    defaults; version: of this project; taps, small_stem: of a network of other code, which modules give its
    maps (`models.taps`), and whether its stem was changed; ema: decay of the moving average over its run's
    steps that these weights are.
    """

    arch: str | None = None
    student: str | None = None
    num_classes: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    accuracy: float | None = None
    image_size: ImageSize | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    dataset: str | None = None
    data_sha256: str | None = None
    settings_sha256: str | None = None
    changed: dict[str, Any] | None = None
    version: str | None = None
    precision: str | None = None
    taps: tuple[str, ...] | None = None
    small_stem: bool | None = None
    ema: float | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "NetworkRecord":
        """What the content of a file says; entries of another type than ours are another code base's."""
        values = {field.name: content.get(field.name) for field in fields(cls)}
        for name, value in values.items():
            kind = KINDS.get(name, int if name in NUMBERS else str)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                values[name] = None
            elif isinstance(value, (list, tuple)):
                values[name] = _row(value, str if name in WORDS else (int, float))
        if isinstance(values["image_size"], str) and not is_size(values["image_size"]):
            values["image_size"] = None
        if values["mean"] is None or values["std"] is None or not all(s > 0 for s in values["std"]):
            values["mean"] = values["std"] = None
        return cls(**values)

    def entries(self) -> dict[str, Any]:
        """What a network's file says beside its weights."""
        own = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in own.items() if v is not None or k not in LEFT_OUT}

    def content(self, network: nn.Module) -> dict[str, Any]:
        """The content of the network's file, in the published teachers' format."""
        return {"model": network.state_dict(), **self.entries()}

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """mean and std with which the network's images are normalised, None if they are not known."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    def differences(self, data: "NetworkRecord") -> str | None:
        """What of the data is other than what the network was made for, in one line; None if nothing is known
        to be.
        """
        found = []
        if _differ(self.dataset, data.dataset):
            found.append(f"it was trained on {self.dataset}, not on {data.dataset}")
        if _differ(self.image_size, data.image_size):
            found.append(f"its images were {shown(self.image_size)}, these are {shown(data.image_size)}")
        if self.normalisation and _differ(self.normalisation, data.normalisation):
            found.append(
                f"it keeps its own normalisation, mean {_shown(self.mean)} and std {_shown(self.std)} (the "
                f"data set's are {_shown(data.mean)} and {_shown(data.std)})"
            )
        if _differ(self.class_names, data.class_names):
            found.append(_class_difference(self.class_names, data.class_names))
        return "; ".join(found) or None


def _row(values: Sequence[Any], kind: type | tuple[type, ...]) -> tuple | None:
    """A row of such values: three numbers, or any number of words; None for anything else."""
    fits = all(isinstance(value, kind) and not isinstance(value, bool) for value in values)
    return tuple(values) if fits and (kind is str or len(values) == 3) else None


def _differ(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one != other


def _shown(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _class_difference(own: Sequence[str], other: Sequence[str]) -> str:
    """In which way two lists of class names differ, with the first place where they do."""
    pairs = enumerate(zip(own, other, strict=False))
    place, (mine, theirs) = next(((k, pair) for k, pair in pairs if pair[0] != pair[1]), (0, ("", "")))
    how = "stand in another order" if sorted(own) == sorted(other) else "have other names"
    return f"its classes {how} (class {place} is {mine!r} there, {theirs!r} here)"
