"""What the families of networks share: the way of the data, convolutions, shortcuts, initialisation."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helper.batch import Output


class Network(nn.Module):
    """What all networks have in common: logits, or with `is_feat` what the published ones return too.

    A network defines `outputs`, and `logits` where these alone can be had for less.
    """

    def forward(
        self, x: Tensor, is_feat: bool = False, preact: bool = False
    ) -> Tensor | tuple[list[Tensor], Tensor]:
        """Logits (N, classes) of images (N, 3, H, W); with `is_feat`, (features, logits).

        features: the map (N, C, H, W) after the stem, one per stage, then the embedding (N, D). With `preact`
        the maps of the stages are taken before their last ReLU.
        """
        return self.outputs(x).published(preact) if is_feat else self.logits(x)

    def outputs(self, x: Tensor) -> Output:
        """All that the network says of images (N, 3, H, W), in one pass."""
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, 3, H, W)."""
        return self.outputs(x).logits


class StagedNetwork(Network):
    """A stem, stages that each give one map, a pooled embedding and a linear classifier.

    A family defines `stem`, `stages` and `classify`, and `through_stage` or `last_map` where it differs.
    """

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, 3, H, W), without keeping their maps."""
        for before, after in self.through_stages(self.stem(x)):  # noqa: B007 (the last ones count)
            pass
        return self.classify(self.embed(before, after))

    def outputs(self, x: Tensor) -> Output:
        stem = self.stem(x)
        stages = list(self.through_stages(stem))
        averaged = self.last_map(*stages[-1])
        embedding = average(averaged)
        preact, maps = map(list, zip(*stages, strict=True))
        return Output(stem, maps, preact, embedding, self.classify(embedding), averaged=averaged)

    @property
    def classifier(self) -> nn.Linear:
        """The linear layer that gives the logits."""
        return next(self._modules[name] for name in ("fc", "linear", "classifier") if name in self._modules)

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """The batch norms, one per stage, that give the maps before the ReLU, but for a shortcut's part.

        Raises UserError where a family has none.
        """
        return [norm_of(list(stage)[-1]) for stage in self.stages()]

    def stem(self, x: Tensor) -> Tensor:
        """The first map (N, C, H, W) of images (N, 3, H, W), after its ReLU."""
        raise NotImplementedError

    def stages(self) -> Sequence[Iterable[nn.Module]]:
        """The stages in order, each as the blocks it is made of."""
        raise NotImplementedError

    def through_stages(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each stage's map before and after its last ReLU."""
        for stage in self.stages():
            before, x = self.through_stage(stage, x)
            yield before, x

    def through_stage(self, stage: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
        """A stage's map before and after its last ReLU, which every block leaves to this method."""
        for block in stage:
            before = block(x)
            x = F.relu(before)
        return before, x

    def embed(self, before: Tensor, after: Tensor) -> Tensor:
        """The embedding (N, D) of the last stage's map before and after its ReLU."""
        return average(self.last_map(before, after))

    def last_map(self, before: Tensor, after: Tensor) -> Tensor:
        """The map (N, D, H, W) whose average is the embedding, of the last stage's before and after its
        ReLU.
        """
        return after

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (N, classes) of embeddings (N, D)."""
        raise NotImplementedError


def average(x: Tensor) -> Tensor:
    """The average (N, C) of a map (N, C, H, W) over all its places."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def pooled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The map (B, C, H, W) averaged to `size`, by whole factors where it can: a GPU repeats their bits."""
    (height, width), (to_height, to_width) = x.shape[2:], size
    if (height, width) == (to_height, to_width):
        return x
    if height % to_height or width % to_width:
        return F.adaptive_avg_pool2d(x, size)
    return F.avg_pool2d(x, (height // to_height, width // to_width))


def conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias, padded to keep the size of the map (but for its stride)."""
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
    )


def depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution of each channel on its own, without bias."""
    return conv(channels, channels, 3, stride, groups=channels)


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A residual block's shortcut: 1x1 convolution and BN where the shape changes, otherwise the identity."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def norm_of(block: nn.Module) -> nn.BatchNorm2d:
    """The last batch norm on a block's main path; that of a plain sequence is the sequence's last."""
    norms = {name: module for name, module in block.named_modules() if isinstance(module, nn.BatchNorm2d)}
    main = [name for name in norms if name.startswith("bn")]
    return norms[max(main) if main else list(norms)[-1]]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` equal groups; (N, C, H, W) keeps its shape and its memory format.

    Zhang et al., "ShuffleNet", 2018, figure 1. https://arxiv.org/abs/1707.01083
    """
    if x.is_contiguous(memory_format=torch.channels_last):
        # Along the last axis of the memory, since torch's own form would go back to channels-first on a GPU.
        by_group = x.permute(0, 2, 3, 1).unflatten(3, (groups, -1))
        return by_group.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)
    return F.channel_shuffle(x, groups)


def initialise_convolutions(network: nn.Module) -> None:
    """Draw every convolution's weights from He's normal distribution (fan-out), biases zero.

    He et al., "Delving Deep into Rectifiers", 2015, equation 14. https://arxiv.org/abs/1502.01852
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_classifier(classifier: nn.Linear) -> None:
    """Draw a linear classifier's weights from a normal distribution of standard deviation 0.01, bias zero."""
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
