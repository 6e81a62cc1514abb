"""A student's stages, a projector, and the classifier of a teacher, which stays as it is."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helper.batch import Output
from helper.errors import UserError
from models import composed_name
from models.common import Network, average, conv, pooled
from models.last_map import LastMap, find_averaged_map, find_last_map, last_stage_map, look

PREFIX = "reused"
REDUCTION = 2
USUAL_SIZES = (32, 64)


def reused_name(student: str, teacher: str) -> str:
    """The name of the network made of these two: 'reused/<student>/<teacher>'."""
    return composed_name(PREFIX, student, teacher)


def projector(channels_s: int, channels_t: int, reduction: int = REDUCTION) -> nn.Sequential:
    """From the student's channels to the teacher's: 1x1, 3x3 and 1x1 convolutions, each with BN and, but for
    the last, ReLU.
    """
    between = channels_t // reduction
    return nn.Sequential(
        conv(channels_s, between, 1),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        conv(between, between, 3),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        conv(between, channels_t, 1),
        nn.BatchNorm2d(channels_t),
    )


class MapSizes:
    """How large a network's map is for images of a size; of an unusual one it is found out when it comes.

    network: of which the structure is kept, without weights; find: the map in its Output.
    """

    def __init__(self, network: nn.Module, find: LastMap):
        self.known = {(size, size): tuple(find(look(network, size)).shape[2:]) for size in USUAL_SIZES}
        self.network, self.find = copy.deepcopy(network).to("meta").eval(), find

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the map for images (B, 3, height, width)."""
        if (height, width) not in self.known:
            with torch.no_grad():
                output = self.network.outputs(torch.zeros(1, 3, height, width, device="meta"))
            self.known[height, width] = tuple(self.find(output).shape[2:])
        return self.known[height, width]


class ReusedClassifier(Network):
    """The network of SimKD: the student's last map, projected to the teacher's channels, averaged over places
    and classified by the teacher's frozen linear layer.

    D. Chen et al.: "Knowledge Distillation with the Reused Teacher Classifier", 2022.
    https://arxiv.org/abs/2203.14001

    Its Output is the student's with the projected map as one more stage; the embedding has the teacher's
    width. The student's own classifier is not part of it. The teacher's is in the state dict, but asks for no
    gradient, so that an optimizer neither moves nor decays it. In networks with more layers behind the last
    stage (MobileNetV2, ShuffleV2) the student's map is the stage's, and these layers are not used, as
    published; the teacher's is the one behind them, which its classifier sees.

    student: a network of the zoo, which becomes part of this one; classifier: the teacher's, copied; sizes:
    of the teacher's last map, to which a larger student's map is averaged down; reduction: of the projector's
    inner channels; channels_s: of the student's last map.
    """

    def __init__(
        self,
        student: nn.Module,
        classifier: nn.Linear,
        channels_s: int,
        sizes: MapSizes | None = None,
        reduction: int = REDUCTION,
        last_map: LastMap = last_stage_map,
    ):
        super().__init__()
        self.student = student
        self.sizes, self.last_map = sizes, last_map
        self.transfer = projector(channels_s, classifier.in_features, reduction)
        self.classifier = copy.deepcopy(classifier).requires_grad_(False)

    @classmethod
    def of(cls, student: nn.Module, teacher: nn.Module, num_classes: int) -> "ReusedClassifier":
        """Of two networks of the zoo; the student becomes part of it.

        Raises UserError if the teacher's classifier does not see the average of a map, or is for another
        number of classes.
        """
        classifier = teacher.classifier
        if classifier.out_features != num_classes:
            raise UserError(
                f"simkd reuses the teacher's classifier, which has {classifier.out_features} classes; the "
                f"data set has {num_classes}: use a teacher trained on this data set"
            )
        find = find_averaged_map(look(teacher))
        if find is None:
            raise UserError(
                f"simkd cannot reuse the classifier of a {type(teacher).__name__}: it sees no average of a "
                "map; use a teacher of models/, such as resnet32x4"
            )
        of_student = look(student)
        last_map = find_last_map(of_student) or last_stage_map
        own = next(key for key, module in student.named_modules() if module is student.classifier)
        student.set_submodule(own, nn.Identity())
        channels = last_map(of_student).shape[1]
        return cls(student, classifier, channels, MapSizes(teacher, find), last_map=last_map)

    def outputs(self, x: Tensor) -> Output:
        """The Output for images (B, 3, H, W)."""
        out = self.student.outputs(x)
        before, projected = self.project(self.last_map(out), self.sizes.of(x.shape[2], x.shape[3]))
        embedding = average(projected)
        maps, preact = [*out.maps, projected], [*out.preact, before]
        return Output(out.stem, maps, preact, embedding, self.classifier(embedding), averaged=projected)

    def project(self, f_s: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The student's map (B, C, H, W) in the teacher's channels, H and W at most `size`, before and after
        the last ReLU.
        """
        f_s = pooled(f_s, (min(f_s.shape[2], size[0]), min(f_s.shape[3], size[1])))
        before = self.transfer(f_s)
        return before, F.relu(before)

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """The BN before each map's ReLU, the projector's last."""
        return [*self.student.norms_before_relu(), self.transfer[-1]]
