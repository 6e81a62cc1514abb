"""The named terms of the students' losses, and what a step logs of them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from distiller_zoo.base import Terms
from engine.task import LABELLED, Logged
from helper.batch import UNLABELLED, Batch

OTHER_TERMS = ("ce", "kd", "online")
TAKEN = {*OTHER_TERMS, "loss", "correct", LABELLED}


def named(found: Terms) -> dict[str, Tensor]:
    """A method's terms by name; one that has no name of its own is called 'method'.

    Raises ValueError for a name that stands for something else.
    """
    terms = dict(found) if not isinstance(found, Tensor) else {"method": found}
    if taken := terms.keys() & TAKEN:
        raise ValueError(f"a method's term cannot be called {taken.pop()!r}: that name is taken")
    return terms


def method_sum(terms: dict[str, Tensor]) -> Tensor | None:
    """The sum of the method's own terms; None where there is none."""
    own: Iterable[Tensor] = [value for name, value in terms.items() if name not in OTHER_TERMS]
    total = None
    for value in own:
        total = value if total is None else total + value
    return total


@torch.no_grad()
def logged(
    losses: Sequence[Tensor],
    terms: Sequence[dict[str, Tensor]],
    logits: Sequence[Tensor],
    batch: Batch,
    unlabelled: bool = False,
) -> Logged:
    """The terms of all students side by side: loss, share of correct answers, and every named term.

    unlabelled: whether images may be without a label; their share is then told too.
    """
    if unlabelled:
        share = (batch.labels != UNLABELLED).float().mean()
        terms = [{**found, LABELLED: share} for found in terms]
    own = dict.fromkeys(name for found in terms for name in found)
    order = sorted(own, key=lambda name: {"ce": 0, "kd": 1, "online": 3}.get(name, 2))
    zero = losses[0].new_zeros(())
    rows = []
    for loss, found, z in zip(losses, terms, logits, strict=True):
        correct = (z.argmax(dim=1) == batch.labels).float().mean()
        values = [found[name].detach() if name in found else zero for name in order]
        rows.append(torch.stack([loss.detach(), correct, *values]))
    return Logged(("loss", "correct", *order), torch.stack(rows))
