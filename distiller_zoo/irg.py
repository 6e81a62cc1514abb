"""Relation knowledge: the graph of a batch's images, and how it changes from one stage to the next."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distiller_zoo.base import Distiller, Example, LossWeights
from distiller_zoo.maps import precise
from distiller_zoo.relations import products, squared_distances
from helper.batch import Batch, Output
from helper.errors import UserError

EPSILON = 1e-12


class IRGLoss(nn.Module):
    """Squared difference of the instance graphs of student and teacher, and of how they change between
    layers.

    The graph's edges are the squared distances between the images' embeddings, divided by the largest; its
    vertices, compared where both networks have embeddings of one size, are the embeddings. Between two layers
    of a network edges change by their mean squared difference, vertices (of maps of one shape) too; student
    and teacher should change as much. Liu et al.: "Knowledge Distillation via Instance Relationship Graph",
    CVPR 2019, section 3.
    https://openaccess.thecvf.com/content_CVPR_2019/html/Liu_Knowledge_Distillation_via_Instance_Relationship_Graph_CVPR_2019_paper.html

    w_graph, w_transform: weights of the two terms; edges: whether the change of edges counts.

    >>> f_s, f_t = torch.randn(4, 16), torch.randn(4, 64)
    >>> IRGLoss()(f_s, f_t) > 0, IRGLoss()(f_s, f_s)
    (tensor(True), tensor(0.))
    """

    def __init__(self, w_graph: float = 1.0, w_transform: float = 1.0, edges: bool = True):
        super().__init__()
        self.w_graph, self.w_transform, self.edges = w_graph, w_transform, edges

    def forward(
        self, f_s: Tensor, f_t: Tensor, maps_s: Sequence[Tensor] = (), maps_t: Sequence[Tensor] = ()
    ) -> Tensor:
        """Loss of the student's embeddings (B, D_s) against the teacher's (B, D_t), and of layers [(B, ...)].

        Layers are taken in pairs, the first with the second, the third with the fourth; an odd one is left
        out.
        """
        return torch.stack(self.terms(f_s, f_t, maps_s, maps_t)).sum()

    def terms(
        self, f_s: Tensor, f_t: Tensor, maps_s: Sequence[Tensor] = (), maps_t: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """The weighted terms: that of the graph and that of its changes."""
        f_s, f_t = precise(f_s), precise(f_t.detach())
        graph = F.mse_loss(distances(f_s), distances(f_t))
        if f_s.shape == f_t.shape:
            graph = graph + F.mse_loss(f_s, f_t)
        maps_t = [m.detach() for m in maps_t]
        changes = [graph.new_zeros(())]
        for first in range(0, min(len(maps_s), len(maps_t)) - 1, 2):
            own, theirs = maps_s[first : first + 2], maps_t[first : first + 2]
            if self.edges:
                changes.append((edge_change(*own) - edge_change(*theirs)).square())
            if own[0].shape == own[1].shape and theirs[0].shape == theirs[1].shape:
                changes.append((vertex_change(*own) - vertex_change(*theirs)).square())
        return [self.w_graph * graph, self.w_transform * torch.stack(changes).sum()]


def distances(x: Tensor) -> Tensor:
    """Squared distances (B, B) between the images of x (B, ...), divided by the largest."""
    found = squared_distances(products(x, centred=True)).clamp(min=EPSILON)
    found = torch.where(torch.eye(len(found), dtype=torch.bool, device=found.device), 0.0, found)
    return found / (found.max() + EPSILON)


def edge_change(lower: Tensor, upper: Tensor) -> Tensor:
    """Mean squared difference of the distances between images in two layers (B, ...) of a network."""
    return F.mse_loss(distances(lower), distances(upper))


def vertex_change(lower: Tensor, upper: Tensor) -> Tensor:
    """Mean squared difference of two layers of one shape."""
    return F.mse_loss(precise(lower), precise(upper))


class IRG(Distiller):
    """IRG on the pooled embeddings and, with a flag, on pairs of neighbouring stage maps, counted from the
    last.

    Without the flag it is a distance loss like RKD's.

    Published code: SemCKD's, followed here, takes two lists of layers, which are empty by default and in its
    script; the flag stands for them. Channels-last maps fail there.
    """

    label = "IRG"
    formula = (
        "|D(e_s) - D(e_t)|^2 / B^2 (+ |e_s - e_t|^2 / B D if equally wide) + changes of D between stages; D "
        "squared distances over their largest"
    )
    weights = LossWeights(1.0, 1.0, 0.005)

    def __init__(
        self,
        example: Example,
        *,
        irg_transform: Annotated[bool, "IRG: compare how the graph changes between stages, too"] = False,
    ):
        super().__init__(example)
        if example.batch_size < 2:
            raise UserError(
                "--batch_size 1 is too small for irg, which compares the images of a batch: use at least 2"
            )
        stages = min(len(example.student.maps), len(example.teacher.maps))
        self.layers = stages // 2 * 2 if irg_transform else 0
        if irg_transform and not self.layers:
            raise UserError("--irg_transform compares neighbouring stages and needs two stage maps, not 1")
        self.loss = IRGLoss()

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        layers = [output.maps[len(output.maps) - self.layers :] for output in (student, teacher)]
        return self.loss(student.embedding, teacher.embedding, *layers)
