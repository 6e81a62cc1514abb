"""Pictures of all kinds are read upright as RGB, and cut as evaluation wants them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.pictures import evaluation_resize, for_evaluation, read_picture
from dataset.whole import what_is_wrong
from helper.errors import UserError
from helper.sizes import image_size, shown, sides, size_of
from tests.pictures import write_picture


def ramp(height: int = 12, width: int = 20) -> np.ndarray:
    """(H, W, 3) uint8 with no two rows, columns or channels alike."""
    y, x, c = np.mgrid[:height, :width, :3]
    return (y * 11 + x * 5 + c * 40).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "tif", "webp"])
def test_formats_without_loss_give_their_pixels(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(ramp()).save(path, **({"lossless": True} if ending == "webp" else {}))
    assert np.array_equal(read_picture(path).permute(1, 2, 0), ramp())
    assert what_is_wrong(path) is None and what_is_wrong(path, decode=True) is None


def test_grey_palette_alpha_cmyk_and_16_bits(tmp_path: Path) -> None:
    grey = ramp()[..., 0]
    for mode in ("L", "P", "LA", "RGBA", "1"):
        Image.fromarray(grey).convert(mode).save(tmp_path / f"{mode}.png")
        expected = (grey > 127) * 255 if mode == "1" else grey
        read = read_picture(tmp_path / f"{mode}.png")
        assert read.shape == (3, 12, 20)
        if mode != "1":  # dithered
            assert np.array_equal(read[0], expected) and np.array_equal(read[2], expected), mode
    Image.fromarray(ramp()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert (
        np.abs(read_picture(tmp_path / "cmyk.jpg").permute(1, 2, 0).numpy() - ramp().astype(int)).mean() < 12
    )
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png")[1], grey)
    frames = [Image.fromarray(ramp()), Image.fromarray(255 - ramp())]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "two.gif").shape == (3, 12, 20)


@pytest.mark.parametrize(
    ("orientation", "turn"), [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)]
)
def test_pictures_stand_upright(tmp_path: Path, orientation: int, turn) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(ramp()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png").permute(1, 2, 0), turn(ramp()))


def test_broken_files_are_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", 60, 60)
    whole = (tmp_path / "a.jpg").read_bytes()
    for name, content in {"none": b"", "cut": whole[:-900], "head": whole[:30], "text": b"hello"}.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(content)
        assert what_is_wrong(path), name
        with pytest.raises(UserError, match=f"{name}.jpg cannot be read as a picture"):
            read_picture(path)
    (tmp_path / "b.jpg").write_bytes(whole + 3000 * b"\0")  # what cameras leave behind the end
    assert what_is_wrong(tmp_path / "b.jpg") is None
    assert what_is_wrong(tmp_path / "missing.jpg")


def test_evaluation_cuts_the_middle() -> None:
    pixels = torch.from_numpy(ramp(64, 80)).permute(2, 0, 1)
    assert torch.equal(for_evaluation(pixels, 32, 64), pixels[:, 16:48, 24:56])
    assert evaluation_resize(224) == 256 and evaluation_resize("224x448") == 256
    for size in (7, 32, 224, "30x90", "90x30"):
        for height, width in ((64, 80), (5, 300), (300, 5)):
            picture = torch.zeros(3, height, width, dtype=torch.uint8)
            assert for_evaluation(picture, size).shape[1:] == sides(size)


def test_sizes() -> None:
    assert [image_size(text) for text in ("224", "160x224", "64x64")] == [224, "160x224", 64]
    assert (sides(224), sides("160x224"), shown("160x224"), size_of(3, 4)) == (
        (224,) * 2,
        (160, 224),
        "160 x 224",
        "3x4",
    )
    for text in ("0", "1", "5000", "x", "32x", "-3", "3.5", "32x32x32"):
        with pytest.raises(Exception, match=r"size in pixels|from 2 to 4096"):
            image_size(text)
