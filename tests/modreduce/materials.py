"""Students without training, for the online methods: logits, embeddings, totals as a Student makes them."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from helper.batch import Batch, Output
from tests.golden.formula import tensor

CLASSES, BATCH, WIDTH = 10, 6, 16
LABELS = torch.arange(BATCH) % CLASSES


class Peer:
    """As much of a Student as an online method asks for: the sum of CE and KD, plain or normalised."""

    def __init__(
        self, name: str = "kd", width: int = WIDTH, normalise: bool = False, multiplier: float = 1.0
    ):
        self.name, self.normalise, self.multiplier = name, normalise, multiplier
        self.free_scale = False
        self.network = SimpleNamespace(classifier=nn.Linear(width, CLASSES))

    def offline_sum(self, terms: dict[str, Tensor], kd_factor: Tensor | float = 1.0) -> Tensor:
        return terms["ce"] + kd_factor * terms.get("kd", 0.0)

    def scale(self, extra: Tensor | float = 0.0) -> Tensor | float:
        return self.multiplier / (2.0 + extra) if self.normalise else self.multiplier

    def offline(self, terms: dict[str, Tensor]) -> Tensor:
        return self.scale() * self.offline_sum(terms)


def a_batch() -> Batch:
    return Batch(torch.zeros(BATCH, 3, 32, 32), LABELS, torch.arange(BATCH))


def outputs(count: int, dtype: torch.dtype = torch.float32) -> list[Output]:
    """Outputs whose logits and embeddings ask for gradients."""
    made = []
    for k in range(count):
        logits = tensor(f"logits{k}", (BATCH, CLASSES), std=3).to(dtype).requires_grad_()
        embedding = tensor(f"embedding{k}", (BATCH, WIDTH)).to(dtype).requires_grad_()
        made.append(Output(torch.empty(0), [], [], embedding, logits))
    return made


def terms_of(output: Output, teacher: bool = False) -> dict[str, Tensor]:
    """What a Student gives of itself: cross-entropy, and with a teacher a term of KD."""
    terms = {"ce": nn.functional.cross_entropy(output.logits, LABELS)}
    return terms | {"kd": output.logits.square().mean()} if teacher else terms


def step(method: nn.Module, made: list[Output], peers: list[Peer], teacher: bool = False) -> list[Tensor]:
    """The students' total losses of one step, and behind them what the ensemble itself learns from."""
    batch, terms = a_batch(), [terms_of(output, teacher) for output in made]
    observe = getattr(method, "observe", None)
    if observe is not None:
        observe(made)
    targets = method.targets([output.logits.detach() for output in made], batch)
    losses = [
        method.total(peer, output.logits, own, target)
        for peer, output, own, target in zip(peers, made, terms, targets, strict=True)
    ]
    own_loss = method.own_loss(batch)
    return losses if own_loss is None else [*losses, own_loss]
