"""A student whose last map is widened to copies of a teacher's and led back; logits of fixed norm."""

from torch import Tensor, nn
from torch.nn import functional as F

from helper.batch import Output
from helper.errors import UserError
from models import composed_name
from models.common import Network
from models.last_map import LastMap, find_last_map, look

PREFIX = "norm"
COPIES = 8  # the paper's N
LOGIT_SCALE = 2.5
NORM_EPSILON = 1e-7


def norm_name(student: str, teacher: str) -> str:
    """The name of the network made of these two: 'norm/<student>/<teacher>'."""
    return composed_name(PREFIX, student, teacher)


def fixed_norm(logits: Tensor, scale: float = LOGIT_SCALE) -> Tensor:
    """Logits (B, C) with mean 0 and standard deviation `scale` in each row; a constant row becomes 0."""
    return scale * F.layer_norm(logits, logits.shape[1:], eps=NORM_EPSILON)


class NORMHead(nn.Module):
    """The student's last map widened to several times the teacher's channels, and back to a residual.

    Nothing in it bends: two 1x1 convolutions without bias, each with BN. X. Liu, L. Li, C. Li, A. Yao: "NORM:
    Knowledge Distillation via N-to-One Representation Matching", ICLR 2023, section 3.2.
    https://openreview.net/forum?id=CRNwGauQpb6

    s_channels, t_channels: of the last maps; copies: N.
    """

    def __init__(self, s_channels: int, t_channels: int, copies: int = COPIES):
        super().__init__()
        wide = copies * t_channels
        self.expand = nn.Sequential(nn.Conv2d(s_channels, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.contract = nn.Sequential(nn.Conv2d(wide, s_channels, 1, bias=False), nn.BatchNorm2d(s_channels))

    def forward(self, f_s: Tensor) -> tuple[Tensor, Tensor]:
        """The expanded map (B, N C_t, H, W), and what is added to the student's map (B, C_s, H, W)."""
        expanded = self.expand(f_s)
        return expanded, self.contract(expanded)


class NORMNetwork(Network):
    """The network of NORM: a student whose last map gets the residual of a NORMHead.

    Its Output is the student's with the expanded map as one more stage. Where the embedding averages a map
    over its places, adding the residual's average to it is the same as adding the residual to the map. In a
    wide ResNet that map is the one behind the last batch norm and ReLU, where the published code takes the
    one in front of them. In a network of the zoo with more layers behind its last map (MobileNetV2,
    ShuffleV2) the residual goes in front of these; the published code has it behind them in MobileNetV2, and
    does not run for ShuffleNets.

    student: a network of the zoo, which becomes part of this one; head: for its last map; last_map: where the
    map that is averaged is found in the student's Output, None if the residual goes in front of more layers.
    """

    def __init__(self, student: nn.Module, head: NORMHead, last_map: LastMap | None):
        super().__init__()
        self.student, self.head, self.last_map = student, head, last_map

    @classmethod
    def of(cls, student: nn.Module, teacher: nn.Module, num_classes: int) -> "NORMNetwork":
        """Of two networks of the zoo; the student becomes part of it.

        Raises UserError for a student whose embedding is no average of a map of its Output and that does not
        show its stages, as networks of the zoo do.
        """
        output = look(student)
        last_map = find_last_map(output)
        if last_map is None and not hasattr(student, "through_stages"):
            raise UserError(
                f"norm cannot serve a {type(student).__name__} as student: its embedding is not the average "
                "of its last stage's map; use a network of models/, or another method"
            )
        channels = output.maps[-1].shape[1]
        return cls(student, NORMHead(channels, look(teacher).maps[-1].shape[1]), last_map)

    @property
    def classifier(self) -> nn.Linear:
        """The student's own."""
        return self.student.classifier

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """The BN before each map's ReLU; the expanded map has no ReLU and its own."""
        return [*self.student.norms_before_relu(), self.head.expand[-1]]

    def outputs(self, x: Tensor) -> Output:
        """The Output for images (B, 3, H, W)."""
        if self.last_map is None:
            stem = self.student.stem(x)
            preact, maps = map(list, zip(*self.student.through_stages(stem), strict=True))
            expanded, residual = self.head(maps[-1])
            embedding = self.student.embed(preact[-1], maps[-1] + residual)
        else:
            own = self.student.outputs(x)
            stem, maps, preact = own.stem, own.maps, own.preact
            expanded, residual = self.head(self.last_map(own))
            embedding = own.embedding + residual.mean(dim=(2, 3))
        logits = fixed_norm(self.classifier(embedding))
        return Output(stem, [*maps, expanded], [*preact, expanded], embedding, logits)
