"""The published recipe where more than one room asks for it: length, batch, rates and their decay."""

DATASET = "cifar100"
EPOCHS = 240
BATCH_SIZE = 64
DECAY_EPOCHS = (150, 180, 210)
SLOW_LEARNERS = ("MobileNetV2", "ShuffleV1", "ShuffleV2")


def published_rate(model: str) -> float:
    """The learning rate for a student of that network."""
    return 0.01 if model in SLOW_LEARNERS else 0.05


def published_decay(epochs: int) -> list[int]:
    """After which epochs the rate is decayed: 150, 180 and 210 of 240, in proportion."""
    return [round(epochs * (decay / EPOCHS)) for decay in DECAY_EPOCHS]
