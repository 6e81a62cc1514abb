"""Networks of other code: timm's, torchvision's, and those of a user's own file.

Names are `timm:NAME`, `torchvision:NAME` and `path/to/file.py:FUNCTION`; a library is imported only once one
of its networks is asked for.
"""

import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from helper.errors import UserError, one_line, told_in_a_line
from helper.packages import INSTALL
from helper.sizes import ImageSize, shown, sides, size_of

if TYPE_CHECKING:
    from torch import nn

CODE = ".py:"  # what the name of a network of a user's own file has in it
NEAREST = 5
# what torchvision's networks of these beginnings take to be sized for images, or to give logits alone
TORCHVISION_SETTINGS: dict[str, Callable[[ImageSize], dict[str, Any]]] = {
    "vit_": lambda size: {"image_size": _side_of_a_square(size)},
    "maxvit_": lambda size: {"input_size": sides(size)},
    "googlenet": lambda size: {"aux_logits": False, "init_weights": True},
    "inception_": lambda size: {"aux_logits": False, "init_weights": True},
}


def _side_of_a_square(image_size: ImageSize) -> int:
    height, width = sides(image_size)
    if height != width:
        raise UserError(
            f"torchvision's vision transformers take squares alone, and the images are {shown(image_size)}: "
            "choose another network (timm's take both), or a square --image_size"
        )
    return height


class Source(NamedTuple):
    """Where networks come from.

    names: all of them, as far as they can be listed; has: whether there is one of that name; build: the
    network of that name for so many classes and images of that size.
    """

    names: Callable[[], Sequence[str]]
    has: Callable[[str], bool]
    build: Callable[[str, int, ImageSize], "nn.Module"]


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"timm: networks need the package timm, which is missing: {INSTALL}") from error
    return timm


def _build_timm(name: str, num_classes: int, image_size: ImageSize) -> "nn.Module":
    settings: dict[str, Any] = {"num_classes": num_classes}
    timm = _timm()
    given = timm.get_pretrained_cfg(name)
    if given is not None and given.fixed_input_size:
        settings["img_size"] = image_size if isinstance(image_size, int) else sides(image_size)
    network = timm.create_model(name, pretrained=False, **settings)
    _refuse_cut_patches(name, getattr(network, "patch_embed", None), image_size)
    return network


def _refuse_cut_patches(name: str, embedding: Any, image_size: ImageSize) -> None:
    """Raise UserError where the patches do not cover the picture, whose rest timm would leave out unsaid."""
    if not isinstance(embedding, _timm().layers.PatchEmbed) or embedding.dynamic_img_pad:
        return
    patch = embedding.patch_size
    if any(side % own for side, own in zip(sides(image_size), patch, strict=True)):
        instead = size_of(*map(_nearest, sides(image_size), patch))
        raise UserError(
            f"timm:{name} sees patches of {patch[0]} x {patch[1]} pixels, and images of {shown(image_size)} "
            f"are no multiple of that: choose another --image_size, like {instead}"
        )


def _nearest(side: int, patch: int) -> int:
    """The multiple of a patch that is nearest to a side."""
    return max(1, round(side / patch)) * patch


def _torchvision_names() -> list[str]:
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _build_torchvision(name: str, num_classes: int, image_size: ImageSize) -> "nn.Module":
    import torchvision

    settings: dict[str, Any] = {}
    for beginning, make in TORCHVISION_SETTINGS.items():
        if name.startswith(beginning):
            settings = make(image_size)
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **settings)


source_dict = {
    "timm": Source(lambda: _timm().list_models(), lambda name: _timm().is_model(name), _build_timm),
    "torchvision": Source(_torchvision_names, lambda name: name in _torchvision_names(), _build_torchvision),
}


def is_foreign(name: str) -> bool:
    """Whether a name has the form of a network of other code."""
    return is_code(name) or (":" in name and name.partition(":")[0] in source_dict)


def is_code(name: str) -> bool:
    """Whether a name has the form of a network of a user's own file."""
    return CODE in name


def check_foreign(flag: str, name: str) -> None:
    """Raise UserError, with the nearest names, unless there is a network of other code of that name.

    A user's own file is run, for it cannot be asked otherwise.
    """
    if is_code(name):
        user_function(name)
        return
    prefix, _, own = name.partition(":")
    source = source_dict[prefix]
    if not source.has(own):
        near = difflib.get_close_matches(own, source.names(), NEAREST, cutoff=0.3)
        raise UserError(
            f"{flag} {name} is unknown; the nearest are {', '.join(f'{prefix}:{one}' for one in near)}"
            if near
            else f"{flag} {name} is unknown, and nothing like it: see the {prefix} documentation for names"
        )


def build_foreign(
    name: str, num_classes: int, image_size: ImageSize = 32, small_stem: bool = False
) -> "nn.Module":
    """The network of that name as its own code makes it.

    small_stem: with the stem changed by `shrink_stem`. Raises UserError if it cannot be built.
    """
    check_foreign("network", name)
    prefix, _, own = name.partition(":")
    with told_in_a_line(
        f"{name} cannot be built for {num_classes} classes and images of {shown(image_size)}"
    ):
        if is_code(name):
            network = user_function(name)(num_classes=num_classes)
        else:
            network = source_dict[prefix].build(own, num_classes, image_size)
    from torch import nn

    if not isinstance(network, nn.Module):
        raise UserError(f"{name} returned a {type(network).__name__}: it has to return a torch.nn.Module")
    if small_stem and not shrink_stem(network):
        raise UserError(
            f"--small_stem changes nothing in {name}, whose first convolution has no stride of 2 and which "
            "has no max pooling: leave it out"
        )
    return network


def user_function(name: str) -> Callable[..., "nn.Module"]:
    """The function of `path/to/file.py:FUNCTION`; the file is run once in a process.

    Raises UserError if there is no such file or function, or if the file cannot be run.
    """
    file, _, function = name.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"{name}: there is no file {file}: give FILE.py:FUNCTION")
    found = getattr(_module_of(path, name), function, None)
    if not callable(found):
        raise UserError(
            f"{name}: {file} has no function {function or '(no name given)'}: give one that takes "
            "num_classes= and returns a network"
        )
    return found


def _module_of(path: Path, name: str) -> Any:
    key = f"network_of_{path.resolve()}"
    if key in sys.modules:
        return sys.modules[key]
    module = ModuleType(key)
    module.__file__ = str(path)
    sys.modules[key] = module  # before it runs, as Python does: dataclasses and pickles look there
    sys.path.append(str(path.resolve().parent))  # for what stands beside it
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)  # writes nothing beside the file
    except Exception as error:
        del sys.modules[key]
        raise UserError(f"{name}: {path} raised {type(error).__name__}: {one_line(error)[:200]}") from error
    return module


def shrink_stem(network: "nn.Module") -> list[str]:
    """Change the stem for small images: the first convolution, if its stride is 2, to stride 1, and the first
    max pooling to nothing.

    No weight changes its shape. Returns the paths of what was changed.
    """
    from torch import nn

    changed = []
    modules = list(network.named_modules())
    first = next(((path, module) for path, module in modules if isinstance(module, nn.Conv2d)), None)
    if first is not None and first[1].stride == (2, 2):
        first[1].stride = (1, 1)
        changed.append(first[0])
    pool = next((path for path, module in modules if isinstance(module, nn.MaxPool2d)), None)
    if pool is not None:
        network.set_submodule(pool, nn.Identity())
        changed.append(pool)
    return changed
