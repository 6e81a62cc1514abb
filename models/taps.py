"""Which modules of a network give its maps: the user's choice, timm's own, or what a dry run shows."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helper.errors import UserError
from helper.sizes import ImageSize
from models.dry_run import Call, DryRun, as_map, dry_run, layouts_of, sample, watch

AT_MOST = 4
FEWEST_CHANNELS = 4
NO_STAGES = ("Pool", "Drop", "Identity", "Flatten")  # parts of the names of classes that end no stage
TOLERANCE = 1e-4  # relative to the largest value
SHOWN_MODULES = 12
BY_USER, BY_FILE, BY_TIMM, BY_RULE = (
    "as asked for",
    "as its file has them",
    "as timm has them",
    "found by a dry run",
)


class Tap(NamedTuple):
    """A module whose output is a map, and how the map lies in it: 'nchw', 'nhwc', 'tokens:<prefix>' for the
    places of a square behind so many other tokens, or 'tokens:<prefix>:<rows>x<columns>'.
    """

    path: str
    layout: str

    def __str__(self) -> str:
        return f"{self.path}@{self.layout}"


class Taps(NamedTuple):
    """Where a network's Output is found.

    stages: the maps in order; stem: the first map; averaged: the one whose mean is the embedding;
    classifier: the path of the linear layer that gives the logits; how: what chose the stages. What there is
    not is None.
    """

    stages: tuple[Tap, ...]
    stem: Tap | None
    averaged: Tap | None
    classifier: str | None
    how: str

    def names(self) -> tuple[str, ...]:
        """The stages as a run and a checkpoint keep them."""
        return tuple(map(str, self.stages))


def choose_taps(
    network: nn.Module,
    name: str,
    image_size: ImageSize,
    asked: Sequence[str] | None = None,
    flag: str = "--taps_s",
) -> Taps:
    """The taps of a network for images of that size.

    asked: paths of modules, or what `Taps.names` gave; flag: whose they are. Without them: timm's own
    intermediate maps, matched to modules in a dry run; else by rule the last map of each size that no later
    part of its block changes. Raises UserError if the network gives no logits for such images, or a module is
    not there or gives no map.
    """
    images = sample(network, image_size)
    run = dry_run(network, images, name)
    if asked is not None:
        stages = [_asked_for(one, network, run, images, name, flag) for one in asked]
        how = BY_FILE if all("@" in one for one in asked) else BY_USER
    else:
        stages, how = _of_timm(network, images), BY_TIMM
        if not stages:
            stages, how = _by_rule(network, run), BY_RULE
    if run.classifier is None and not stages:
        raise UserError(
            f"{name} has neither maps nor one linear classifier that a dry run could find: name its maps "
            "with --taps_s or --taps_t"
        )
    stem = next((Tap(call.path, call.layout) for call in run.calls if _is_stage(call)), None)
    return Taps(tuple(stages), stem, _averaged(run), run.classifier, how)


def _asked_for(one: str, network: nn.Module, run: DryRun, images: Tensor, name: str, flag: str) -> Tap:
    path, _, layout = one.partition("@")
    given = {call.path: call for call in run.calls}
    if path in given:
        call = given[path]
        layouts = layouts_of(call.value, len(images), tuple(images.shape[2:]))
        kind = ":".join(layout.split(":")[:2])  # of pictures of other proportions the grid is another
        alike = [own for own in layouts if ":".join(own.split(":")[:2]) == kind]
        return Tap(path, layout if layout in layouts else (alike or [call.layout])[0])
    there = path in dict(network.named_modules())
    choice = list(given) if len(given) <= SHOWN_MODULES else [p for p in given if "." not in p]
    choice = choice or list(given)
    more = ", ..." if len(choice) < len(given) or len(choice) > SHOWN_MODULES else ""
    raise UserError(
        f"{flag} {path}: {name} has {'no map there' if there else 'no module of that name'}; maps are given "
        f"by {', '.join(choice[:SHOWN_MODULES]) or 'no module'}{more}"
    )


def _of_timm(network: nn.Module, images: Tensor) -> list[Tap]:
    """The modules whose outputs are the maps that timm's networks give of themselves, bit for bit."""
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "default_cfg"):
        return []
    try:
        calls, (_, maps), _ = watch(network, images, network.forward_intermediates)
    except (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError):
        return []  # some of timm's networks have the method and no use of it
    found = [_giver_of(calls, m, tuple(images.shape[2:])) for m in _last_of_each_size(maps)]
    return [tap for tap in found if tap is not None]


def _last_of_each_size(maps: Sequence[Tensor]) -> list[Tensor]:
    """The last map of each size, at most four of them from the end; of one size, four at even depths."""
    places = {tuple(m.shape[2:]): k for k, m in enumerate(maps)}
    if len(places) > 1:
        return [maps[k] for k in sorted(places.values())[-AT_MOST:]]
    return [maps[k] for k in _even_depths(len(maps))]


def _even_depths(count: int) -> list[int]:
    return sorted({(k + 1) * count // AT_MOST - 1 for k in range(AT_MOST)} - {-1})


def _giver_of(calls: Sequence[Call], wanted: Tensor, pictures: tuple[int, int]) -> Tap | None:
    """The last module whose output is this map."""
    for call in reversed(calls):
        for layout in layouts_of(call.value, len(wanted), pictures):
            own = as_map(call.value, layout)
            if own.shape == wanted.shape and torch.equal(own, wanted):
                return Tap(call.path, layout)
    return None


def _is_stage(call: Call) -> bool:
    return call.channels >= FEWEST_CHANNELS and not any(part in call.kind for part in NO_STAGES)


def _by_rule(network: nn.Module, run: DryRun) -> list[Tap]:
    """The last map of each size on the way to the logits, at most four; of one size, four at even depths."""
    order = {call.path: place for place, call in enumerate(run.calls)}
    by_path = {call.path: call for call in run.calls}
    end = max((order[c.path] for c in run.calls if "Adaptive" in c.kind), default=len(order))
    trunk: list[Call] = []
    for call in run.calls:
        behind = order[call.path] > end and call.side == 1
        if not _is_stage(call) or behind or _gives_logits(call, run) or not _in_trunk(call, by_path):
            continue
        if trunk and call.side > trunk[-1].side:
            continue  # enlarged again
        trunk = [other for other in trunk if other.side != call.side] + [call]
    if len({call.side for call in trunk if call.side > 1}) <= 1 and trunk:
        row = _row_of_blocks(network, run, max(call.side for call in trunk))
        if len(row) >= AT_MOST:
            trunk = [row[k] for k in _even_depths(len(row))]
    return [Tap(call.path, call.layout) for call in trunk[-AT_MOST:]]


def _in_trunk(call: Call, by_path: dict[str, Call]) -> bool:
    """Whether no module around it says otherwise: not in front of a block's stride, no window of attention,
    no squeezed map.
    """
    parts = call.path.split(".")
    for depth in range(1, len(parts)):
        around = by_path.get(".".join(parts[:depth]))
        if around is None:
            continue
        before = around.side_in
        # what shrinks by three or more is no block but a row of stages
        if before is not None and around.side < before < 3 * around.side and call.side == before:
            return False
        if call.side < around.side or (before is not None and call.side > before):
            return False
    return True


def _gives_logits(call: Call, run: DryRun) -> bool:
    """Whether a map has a channel for each class and stands where the logits are made of it."""
    classes = run.logits.shape[1]
    if run.classifier is not None or call.channels != classes:
        return False
    ends = [c for c in run.calls if c.channels == classes and _mean_is(c, run.logits)]
    return any(call.side == c.side for c in ends)


def _row_of_blocks(network: nn.Module, run: DryRun, side: int) -> list[Call]:
    """The longest row of blocks of one kind with maps of that size: the depth of a network of one size."""
    best: list[Call] = []
    for path, module in network.named_modules():
        if not isinstance(module, (nn.Sequential, nn.ModuleList)) or len({type(m) for m in module}) != 1:
            continue
        inside = [f"{path}.{key}" if path else key for key, _ in module.named_children()]
        row = [call for call in run.calls if call.path in inside and call.side == side]
        if len(row) == len(inside) > len(best):
            best = row
    return best


def _averaged(run: DryRun) -> Tap | None:
    """The last of the largest maps whose mean over places is what the classifier is given."""
    if run.embedding is None:
        return None
    found = [call for call in run.calls if "Pool" not in call.kind and _mean_is(call, run.embedding)]
    if not found:
        return None
    largest = max(call.side for call in found)
    best = [call for call in found if call.side == largest][-1]
    return Tap(best.path, best.layout)


def _mean_is(call: Call, wanted: Tensor) -> bool:
    if call.channels != wanted.shape[-1]:
        return False
    means = as_map(call.value, call.layout).mean(dim=(2, 3))
    tolerance = TOLERANCE * float(wanted.abs().max())
    return means.shape == wanted.shape and torch.allclose(means, wanted, rtol=0, atol=tolerance)
