"""A network by its name or from a file, and where teachers stand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from helper.checkpoint import digest, read_checkpoint
from helper.errors import UserError
from helper.files import folder_name, hard_link
from helper.sizes import ImageSize
from models import build_bare, is_foreign, is_network, known_networks
from models.fitting import said_of_fitting
from models.layouts import LAYOUTS, find_weights, is_state_dict, what_was_taken, with_counters, without_prefix
from models.record import NetworkRecord
from models.sources import is_code
from models.tapped import tapped

NAMING = "--model_t (evaluate.py: --model)"
FIRST_CLASSES = 100  # for so many a network is built first, to see what its weights are called
STATE_OF_A_RUN = {"optimizer", "progress"}
ENSEMBLE = {"online", "students", "state"}
# networks of other code bases that have a name of ours: its beginning, a part of their weights' names, whose
NAMESAKES = (
    ("ResNet", ".downsample.", "torchvision's, which SemCKD uses too: its first convolution is 7 x 7"),
    ("vgg", "features.", "torchvision's, whose layers are called features"),
    ("MobileNetV2", "features.", "torchvision's, whose layers are called features"),
    ("Shuffle", ".branch", "torchvision's, whose blocks have two branches"),
)


@dataclass(frozen=True)
class NetworkFile:
    """A network's file, read: it is whole, and its weights fit the network that it names.

    network: on the CPU, with the file's own number of classes, as its own code made it; weights: under the
    network's own names, in the file's order; took: where the weights were found, to be printed where that is
    not the entry 'model'.
    """

    path: Path
    arch: str
    num_classes: int
    record: NetworkRecord
    network: nn.Module = field(repr=False)
    weights: Mapping[str, Tensor] = field(repr=False)
    further: Mapping[str, Any] = field(repr=False)
    took: str | None = None

    def sha256(self) -> str:
        """Of the weights: two files of the same network have the same."""
        return digest(self.weights)

    def network_for(self, image_size: ImageSize, taps: Sequence[str] | None = None) -> nn.Module:
        """The network as one that gives its Output for images of that size.

        taps: for a network of other code, the modules that give its maps; without them those that the file
        names, else they are chosen. Raises UserError if they are none of the network's.
        """
        if not is_foreign(self.arch):
            if taps is not None:
                raise UserError(no_taps("--taps_t", self.arch))
            return self.network
        asked = self.record.taps if taps is None else taps
        return tapped(self.network, self.arch, image_size, asked, "--taps_t")

    def content(self) -> dict[str, Any]:
        """What the file holds, in the published teachers' format."""
        return {"model": self.weights, **self.further}

    def check_classes(self, num_classes: int) -> None:
        """Raise UserError unless the network has that many classes."""
        if self.num_classes != num_classes:
            raise UserError(
                f"{self.path} ({self.arch}) was trained for {self.num_classes} classes, the data set has "
                f"{num_classes}: use a network trained on this data set"
            )


def read_network(path: str | Path, model_name: str | None = None) -> NetworkFile:
    """The network of a file, which this project or another wrote: a row of LAYOUTS, a bare state dict, or a
    .safetensors file, with any prefix before the names.

    model_name: the network's name; needed where the file does not say it. Raises UserError when the file is
    missing, damaged, no checkpoint, no network's, or of another architecture.
    """
    path = Path(path)
    content = read_checkpoint(path)
    refuse_other_files(content, path)
    entry, weights = find_weights(content, path)
    further = (
        {} if entry is None else {k: v for k, v in content.items() if not (k in LAYOUTS and is_state_dict(v))}
    )
    record = NetworkRecord.of(further)
    arch = network_name(further, path, model_name, weights)
    build = partial(build_bare, arch, image_size=record.image_size or 32, small_stem=bool(record.small_stem))
    network = build(FIRST_CLASSES)
    own = network.state_dict()
    weights, prefix = without_prefix(weights, own, path)
    whole = with_counters(weights, own)
    network, num_classes = filled(network, arch, whole, f"{path} ({arch})", build)
    took = what_was_taken(path, content, entry, prefix, len(whole) > len(weights))
    return NetworkFile(path, arch, num_classes, record, network, whole, further, took)


def load_network(
    path: str | Path, num_classes: int, model_name: str | None = None
) -> tuple[nn.Module, str, dict[str, Any]]:
    """The network of a file on the CPU, its name, and the file's content, the weights in its 'model' entry.

    Raises UserError as `read_network` does, and for another number of classes.
    """
    file = read_network(path, model_name)
    file.check_classes(num_classes)
    return file.network, file.arch, file.content()


def network_name(
    content: Mapping[str, Any], path: Path, model_name: str | None, weights: Mapping[str, Tensor]
) -> str:
    """The given name, else the file's 'arch', else its folder's '<name>_vanilla'.

    Raises UserError where the given name and the file's are both of networks here and differ, or where there
    is no name. What another code base calls its network does not count against a given name.
    """
    arch = content.get("arch")
    code = isinstance(arch, str) and is_code(arch)
    ours = isinstance(arch, str) and is_network(arch) and not code
    if model_name is not None and not is_network(model_name):
        raise UserError(f"unknown network {model_name!r}; the networks are {known_networks()}")
    if code and model_name is None:
        raise UserError(
            f"{path} holds a network that is made by code, {arch}, which is not run because a file names it: "
            f"if it is yours, name it with {NAMING}"
        )
    if ours and model_name not in (None, arch):
        raise UserError(
            f"{path} holds a {arch}, not a {model_name}: leave that name out, or give another checkpoint"
        )
    folder = path.absolute().parent.name
    name = model_name or arch
    if name is None and folder.endswith("_vanilla"):
        name = folder.removesuffix("_vanilla")
    if name is None:
        raise UserError(
            f"{path} does not say which network it holds: name it with {NAMING}{said_of_fitting(weights)}"
        )
    if not isinstance(name, str) or not is_network(name):
        raise UserError(
            f"{path}: unknown network {name!r}; the networks are {known_networks()}; if it is one of "
            f"these, name it with {NAMING}{said_of_fitting(weights)}"
        )
    return name


def no_taps(flag: str, name: str) -> str:
    """What to say to whoever names modules of a network that says itself where its maps are."""
    return f"{flag} is for networks of other code, and {name} is of models/: leave it out"


def filled(
    network: nn.Module,
    arch: str,
    weights: Mapping[str, Tensor],
    what: str,
    build: Callable[[int], nn.Module],
) -> tuple[nn.Module, int]:
    """The network with these weights, built anew if they are for another number of classes, and that number.

    Every name and shape must fit, else UserError says what does not.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in weights]
    unexpected = [key for key in weights if key not in own]
    differing = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    sizes = {weights[key].shape[:1] for key in differing if own[key].shape[:1] == (FIRST_CLASSES,)}
    num_classes = FIRST_CLASSES
    if len(sizes) == 1 and sizes != {(0,)}:
        (num_classes,) = sizes.pop()
        network = build(num_classes)
        own = network.state_dict()
        differing = [key for key in differing if own[key].shape != weights[key].shape]
    if differing or missing or unexpected:
        raise other_architecture(arch, what, missing, unexpected, differing, said_of_fitting(weights))
    if broken := [key for key in own if not bool(weights[key].isfinite().all())]:
        raise UserError(
            f"{what} has weights that are not finite numbers (first: {broken[0]}): take an older checkpoint"
        )
    network.load_state_dict(weights)
    return network, num_classes


def other_architecture(
    arch: str,
    what: str,
    missing: Sequence[str],
    unexpected: Sequence[str],
    differing: Sequence[str],
    fitting: str,
) -> UserError:
    """The error for weights that do not fit, which names the network of another code base if it is one.

    fitting: what to say of the networks that they do fit.
    """
    example = (*missing, *unexpected, *differing)[0]
    for beginning, sign, whose in NAMESAKES:
        if arch.startswith(beginning) and any(sign in key for key in unexpected):
            return UserError(
                f"{what} is another network that has this name too, {whose} (first difference: {example}); "
                f"it cannot be loaded as the {arch} of this project: give a file of that, or train one with "
                "train_teacher.py"
            )
    return UserError(
        f"{what} is of another architecture: {len(missing)} weights missing, {len(unexpected)} unknown, "
        f"{len(differing)} of another shape (first: {example}); name its network with {NAMING}{fitting}"
    )


def refuse_other_files(content: Mapping[str, Any], path: Path) -> None:
    """Raise UserError for the state of a run and for an ensemble, and say which files to give instead."""
    if content.keys() >= STATE_OF_A_RUN and "model" not in content:
        beside = [
            file.name
            for which in ("last", "best")
            for file in sorted(path.absolute().parent.glob(f"*_{which}.pth"))
            if file.name != "ensemble_last.pth"
        ]
        raise UserError(
            f"{path} is the state of a run, from which --resume goes on, no network: give a network of that "
            f"run, {', '.join(beside) or 'such as kd_last.pth'}"
        )
    if content.keys() >= ENSEMBLE:
        students = [f"{name}_last.pth" for name in content["students"]]
        raise UserError(
            f"{path} is the ensemble of a run, no network: give its students' networks, "
            f"{', '.join(students)}, and this file with --ensemble of evaluate.py"
        )


def teacher_copy_path(save_folder: Path, model: str, dataset: str, epochs: int) -> Path:
    """Where `train_teacher.py` leaves a teacher for the scripts that use it: the published layout."""
    kind = "vanilla" if dataset == "cifar100" else dataset
    return save_folder / "models" / folder_name(f"{model}_{kind}") / f"ckpt_epoch_{epochs}.pth"


def leave_teacher(network: Path, copy: Path) -> str:
    """Put a trained network where teachers are looked for, unless one stands there already; returns what to
    say.
    """
    if copy.exists():
        return f"{copy} stays as it was; this run's network is {network}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    hard_link(network, copy)
    return f"teacher: {copy}"
