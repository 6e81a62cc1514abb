"""What can be asked of pictures that are read from files while a network trains."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from helper.arguments import non_negative_int, normalisation, path, positive_int
from helper.errors import UserError
from helper.sizes import ImageSize, image_size

DEFAULT_SIZE = 224


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """How pictures become batches. Its fields are the flags of a command; None is the default of
    the data set.

    The size, the augmentation and the normalisation are those of the field for ImageNet unless asked for.
    """

    image_size: Annotated[
        ImageSize | None, image_size, "pixels a side, or HEIGHTxWIDTH (default 224)", {"metavar": "PIXELS"}
    ] = None
    augment: Annotated[
        str | None,
        ("crop", "crop_pad", "randaugment", "none"),
        "of training pictures: crop: random resized crop; crop_pad: the whole picture, padded by an eighth "
        "and "
        "cropped; randaugment: crop and RandAugment; each but none with mirroring (default crop)",
    ] = None
    no_flip: Annotated[bool, "do not mirror pictures: a mirrored 2 is not a 2"] = False
    normalise: Annotated[
        str | None,
        normalisation,
        "imagenet, data (of the training pictures), or mean and std as M,M,M,S,S,S (default imagenet)",
    ] = None
    val_resize: Annotated[
        int | None,
        positive_int,
        "shorter side of a picture from which evaluation cuts the middle (default 256/224 of --image_size)",
        {"metavar": "PIXELS"},
    ] = None
    workers: Annotated[
        int | None,
        non_negative_int,
        "processes that read pictures (default: the cores, at most 8)",
        {"metavar": "N"},
    ] = None
    unlabelled: Annotated[
        Path | None,
        path,
        "train on this folder's pictures too, which have no label: the teacher alone teaches",
    ] = None
    skip_broken: Annotated[bool, "decode every picture once and leave out what cannot be read"] = False
    cache: Annotated[
        str,
        ("none", "device", "disk"),
        "keep the middle of each picture as pixels, in memory (with a GPU: in its memory, for --augment crop "
        "and none) or in files; crops then come from these, which is another distribution",
    ] = "none"
    cache_folder: Annotated[Path | None, path, "where --cache disk is (default: <data_folder>/.cache)"] = None

    def sized_as(self, size: ImageSize | None, resize: int | None) -> "PictureSettings":
        """The same with the size that a network was made for, if that is known and no other is asked for."""
        if self.image_size is not None or size is None:
            return self
        return replace(self, image_size=size, val_resize=self.val_resize or resize)

    def mirrored(self, flip: bool) -> "PictureSettings":
        """The same, without mirroring if pictures have a side."""
        return self if flip else replace(self, no_flip=True)

    def asked(self) -> list[str]:
        """The names of the flags that ask for something, but for --workers, which changes nothing."""
        named = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return [name for name in named if name != "workers"]

    def refuse_for(self, name: str) -> None:
        """Raise UserError if something was asked of a data set of that name that holds arrays."""
        for flag in self.asked():
            raise UserError(
                f"--{flag} is for pictures from files (--dataset imagefolder, torchvision:NAME), "
                "and "
                f"{name} is held as arrays: leave it out"
            )
