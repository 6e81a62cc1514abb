"""The published ModReduce step, written out as it was published: what ours is timed against.

Every image is a PIL image with transforms of its own, made by worker processes that also draw its negatives
with numpy; vectors are gathered from the banks; each student has its own backward; all is float32 and
contiguous; loss and accuracy are read at every step. Nothing is slowed down: autograd's anomaly detection,
which the published loop keeps on and which costs more, is left off.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.literal_losses import Contrast, CrossLayerAttention, knowledge_distillation
from dataset.base import DataSet

MOMENTUM, WEIGHT_DECAY, ENSEMBLE_LEARNING_RATE = 0.9, 5e-4, 0.1
TEMPERATURE = 4.0


class Sample(NamedTuple):
    """A batch as the published loader gives it; contrast: (B, K + 1) rows of the banks, the image itself
    first.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    contrast: Tensor


class ContrastiveImages(Dataset):
    """Images one by one: (image, label, index, contrast), the contrast drawn here (mode 'exact')."""

    def __init__(self, data: DataSet, negatives: int):
        self.images, self.labels, self.negatives = data.train_images, data.train_labels, negatives
        self.others = [np.flatnonzero(self.labels != label) for label in range(data.num_classes)]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(data.train_images.shape[1], padding=data.padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int) -> np.ndarray:
        """The rows (K + 1,) of the banks that an image is scored against."""
        drawn = np.random.choice(self.others[self.labels[index]], self.negatives, replace=False)
        return np.concatenate(([index], drawn))

    def __getitem__(self, index: int) -> tuple[Tensor, int, int, np.ndarray]:
        image = self.transform(Image.fromarray(self.images[index]))
        return image, int(self.labels[index]), index, self.draw(index)


def loader(data: DataSet, negatives: int, batch_size: int, workers: int = 2) -> DataLoader:
    """Shuffled batches, made by worker processes."""
    return DataLoader(
        ContrastiveImages(data, negatives), batch_size, shuffle=True, num_workers=workers, drop_last=True
    )


class Offline(NamedTuple):
    """How a student learns from the teacher: beta * method, and the factor m of the whole offline loss."""

    method: str
    beta: float
    multiplier: float


PUBLISHED = (Offline("kd", 0.0, 10.0), Offline("crd", 0.8, 1.0), Offline("semckd", 400.0, 100.0))


class LiteralStudent:
    """A student with its method's layers, its optimizer, and what it logs."""

    def __init__(self, offline: Offline, network: nn.Module, method: nn.Module | None, learning_rate: float):
        self.offline, self.network, self.method = offline, network.train(), method
        trained = nn.ModuleList([network] + ([method] if method is not None else []))
        self.optimizer = torch.optim.SGD(
            trained.parameters(), lr=learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.losses: list[float] = []
        self.accuracies: list[tuple[float, float]] = []

    def learn_offline(self, sample: Sample, features_t: list[Tensor], logits_t: Tensor) -> None:
        """Forward, and the offline loss: CE + KD + beta * method, over the sum of their weights."""
        self.optimizer.zero_grad()
        features, self.logits = self.network(sample.images, is_feat=True)
        loss = F.cross_entropy(self.logits, sample.labels)
        loss = loss + knowledge_distillation(self.logits, logits_t, TEMPERATURE)
        if self.offline.method == "crd":
            loss = loss + self.offline.beta * self.method(
                features[-1], features_t[-1], sample.indices, sample.contrast
            )
        elif self.offline.method == "semckd":
            loss = loss + self.offline.beta * self.method(features[1:-1], features_t[1:-1])
        self.offline_loss = self.offline.multiplier * loss / (1 + 1 + self.offline.beta)

    def learn_online(self, fused: Tensor, weight: float) -> None:
        """Total loss of the step and its backward."""
        online = knowledge_distillation(self.logits, fused, TEMPERATURE)
        self.loss = weight * online + (1 - weight) * self.offline_loss
        self.loss.backward()

    def update(self, labels: Tensor) -> None:
        """The optimizer's step, then loss and accuracy are read."""
        self.optimizer.step()
        self.losses.append(self.loss.item())
        self.accuracies.append(accuracy(self.logits, labels))


class WeightedAverage(nn.Module):
    """Fused logits: the students', each times its weight; the parameter is overwritten by its own softmax."""

    def __init__(self, students: int):
        super().__init__()
        self.weights = nn.Parameter(torch.full((students,), 1.0 / students))

    def forward(self, logits: list[Tensor]) -> Tensor:
        """Fused logits (B, C)."""
        self.weights.data = F.softmax(self.weights.data, dim=0)
        return sum(weight.expand_as(z) * z for weight, z in zip(self.weights, logits, strict=True))


class LiteralStep:
    """One step of all students, part by part.

    teacher, networks: built by `models.model_dict`, on the device; labels of the training set decide the
    banks' size.
    """

    def __init__(
        self,
        teacher: nn.Module,
        networks: list[nn.Module],
        *,
        n_data: int,
        negatives: int,
        batch_size: int,
        device: torch.device,
        image_size: int = 32,
        learning_rate: float = 0.05,
        online_weight: float = 0.7,
        recipe: tuple[Offline, ...] = PUBLISHED,
    ):
        self.device, self.online_weight = device, online_weight
        self.teacher = teacher.to(device).eval()
        example = torch.zeros(2, 3, image_size, image_size, device=device)
        features_t, _ = self.watch_teacher(example)
        self.students = []
        for offline, network in zip(recipe, networks, strict=True):
            network = network.to(device).eval()
            with torch.no_grad():
                features_s, _ = network(example, is_feat=True)
            method = None
            if offline.method == "crd":
                sizes = features_s[-1].shape[1], features_t[-1].shape[1]
                method = Contrast(*sizes, n_data, negatives).to(device)
            elif offline.method == "semckd":
                method = CrossLayerAttention(features_s[1:-1], features_t[1:-1], batch_size).to(device)
            self.students.append(LiteralStudent(offline, network, method, learning_rate))
        self.ensemble = WeightedAverage(len(networks)).to(device)
        self.ensemble_optimizer = torch.optim.SGD(
            self.ensemble.parameters(),
            lr=ENSEMBLE_LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        )

    def to_device(self, batch: list[Tensor]) -> Sample:
        """What the loader gave, on the device."""
        return Sample(*(part.to(self.device) for part in batch))

    def watch_teacher(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The teacher's features and logits."""
        with torch.no_grad():
            features, logits = self.teacher(images, is_feat=True)
        return [feature.detach() for feature in features], logits.detach()

    def fuse(self, labels: Tensor) -> Tensor:
        """Train the ensemble on the students' logits; returns the fused ones."""
        self.ensemble_optimizer.zero_grad()
        fused = self.ensemble([student.logits.detach() for student in self.students])
        F.cross_entropy(fused, labels).backward()
        self.ensemble_optimizer.step()
        return fused.detach()

    def __call__(self, batch: list[Tensor]) -> None:
        """The whole step, for a batch as the loader gives it."""
        sample = self.to_device(batch)
        features_t, logits_t = self.watch_teacher(sample.images)
        for student in self.students:
            student.learn_offline(sample, features_t, logits_t)
        fused = self.fuse(sample.labels)
        for student in self.students:
            student.learn_online(fused, self.online_weight)
            student.update(sample.labels)


def accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in percent."""
    with torch.no_grad():
        guesses = logits.topk(5, dim=1).indices
        correct = guesses == labels[:, None]
        top1 = correct[:, 0].float().sum() * (100.0 / len(labels))
        top5 = correct.any(dim=1).float().sum() * (100.0 / len(labels))
    return top1.item(), top5.item()
