"""The published recipe where more than one room asks for it: length, batch, rates and their decay."""

DATASET = "cifar100"
EPOCHS = 240
BATCH_SIZE = 64
DECAY_EPOCHS = (150, 180, 210)
ADAMW_RATE = 1e-3
SLOW_LEARNERS = ("MobileNetV2", "ShuffleV1", "ShuffleV2")


def published_rate(model: str, optimizer: str = "sgd") -> float:
    """The learning rate for a student of that network; of AdamW, with which nothing was published, torch's
    own.
    """
    if optimizer == "adamw":
        return ADAMW_RATE
    return 0.01 if model in SLOW_LEARNERS else 0.05


def published_decay(epochs: int) -> list[int]:
    """After which epochs the rate is decayed: 150, 180 and 210 of 240, in proportion."""
    return [round(epochs * (decay / EPOCHS)) for decay in DECAY_EPOCHS]
