"""The pictures of a folder, found, cut to size and told apart; what cannot be read is counted."""

import csv
import io
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from dataset.pictures import for_evaluation, read_picture
from exporting.pictures import Pictures, find_pictures
from exporting.predict import Guess, as_csv, counted, guesses, open_network
from helper.errors import UserError
from tests.exporting.materials import NAMES, ready, write_network


def paint(path: Path, size: tuple[int, int] = (50, 40), seed: int = 1) -> Path:
    """A picture of noise, width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = torch.randint(256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed))
    Image.fromarray(pixels.byte().numpy()).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five pictures, one of them below, and what is none."""
    for number, name in enumerate(["b.png", "a.PNG", "sub/deep/c.jpg", "d.bmp", "e.gif"]):
        paint(tmp_path / "pictures" / name, (40 + number, 50), number)
    (tmp_path / "pictures/notes.txt").write_text("no picture")
    paint(tmp_path / "pictures/.hidden.png")
    paint(tmp_path / "pictures/.cache/x.png")
    return tmp_path / "pictures"


FOUND = ["a.PNG", "b.png", "d.bmp", "e.gif", "sub/deep/c.jpg"]


@pytest.fixture
def reader(tmp_path):
    return open_network(write_network(tmp_path / "network.pth", resize=36), None, "cpu")


def test_pictures_are_found_by_their_endings_in_order(folder):
    assert find_pictures(folder) == FOUND


def test_links_are_followed_and_circles_are_refused(folder, tmp_path):
    paint(tmp_path / "elsewhere/f.png")
    (folder / "z").symlink_to(tmp_path / "elsewhere")
    assert find_pictures(folder) == [*FOUND, "z/f.png"]
    (folder / "sub/circle").symlink_to(folder)
    with pytest.raises(UserError, match="sub/circle is a link in a circle"):
        find_pictures(folder)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: None, "does not exist: name a folder with pictures"),
        (lambda place: place.write_text(""), "is a file: name a folder with pictures"),
        (lambda place: place.mkdir(), "holds no pictures: files of pictures end in .jpg, "),
    ],
)
def test_what_holds_no_pictures_is_said(make, said, tmp_path):
    make(tmp_path / "place")
    with pytest.raises(UserError) as error:
        find_pictures(tmp_path / "place")
    assert str(error.value).startswith(f"{tmp_path / 'place'} {said}")


def test_a_picture_is_cut_as_in_evaluation_or_scaled_as_a_whole(folder):
    pixels = read_picture(folder / "d.bmp")
    cut = Pictures(folder, ["d.bmp"], "24x32", 36)[0][1]
    assert torch.equal(cut, for_evaluation(pixels, "24x32", 36)) and cut.shape == (3, 24, 32)
    whole = Pictures(folder, ["d.bmp"], "24x32", None)[0][1]
    assert whole.shape == (3, 24, 32)
    means = (whole.float().mean((1, 2)) - pixels.float().mean((1, 2))).abs()
    assert float(means.max()) < 1  # antialiased, nothing of it cut off


@pytest.mark.parametrize(("batch_size", "workers"), [(2, 0), (64, 0), (3, 2)])
def test_each_picture_gets_its_own_classes_in_batches_of_any_size(batch_size, workers, folder, reader):
    found, broken = guesses(reader, folder, FOUND, 2, batch_size, workers, skip_broken=False)
    assert [guess.file for guess in found] == FOUND and broken == {}
    for guess in found:
        pixels = for_evaluation(read_picture(folder / guess.file), 32, 36)
        expected = reader.logits(pixels[None] / 255).softmax(1)[0]
        order = expected.argsort(descending=True)[:2].tolist()
        assert guess.classes == tuple(NAMES[k] for k in order)
        assert guess.probabilities == pytest.approx(expected[order].tolist(), abs=1e-5)


def test_broken_pictures_are_counted_and_the_first_is_named(folder, reader):
    (folder / "b.png").write_bytes((folder / "a.PNG").read_bytes()[:500])
    (folder / "e.gif").write_text("no picture")
    with pytest.raises(UserError) as error:
        guesses(reader, folder, FOUND, 1, 2, 0, skip_broken=False)
    said = str(error.value)
    assert said.startswith("2 of 5 pictures cannot be read, the first is b.png: ") and "--skip_broken" in said
    found, broken = guesses(reader, folder, FOUND, 1, 2, 0, skip_broken=True)
    assert [guess.file for guess in found] == ["a.PNG", "d.bmp", "sub/deep/c.jpg"]
    assert list(broken) == ["b.png", "e.gif"]


def test_the_csv_has_a_row_per_picture_and_keeps_every_name():
    odd = os.fsdecode(b"caf\xe9.png")
    found = [Guess('a, "b"\n.png', ("cat", "dog"), (0.75, 0.25)), Guess(odd, ("dog, big", "cat"), (1.0, 0.0))]
    written = as_csv(found)
    assert b"caf\xe9.png" in written
    rows = list(csv.reader(io.StringIO(written.decode(errors="surrogateescape"), newline="")))
    assert rows == [
        ["file", "class", "probability", "class_2", "probability_2"],
        ['a, "b"\n.png', "cat", "0.750000", "dog", "0.250000"],
        [odd, "dog, big", "1.000000", "cat", "0.000000"],
    ]


def test_the_most_frequent_classes_are_counted():
    found = [Guess("", (str(k),), (1.0,)) for k in (1, 1, *range(20))]
    said = counted(found)
    assert said.startswith("1: 3, 0: 1, 2: 1") and said.endswith(", 9: 1, and 10 more classes")


def test_a_network_without_names_of_classes_gives_numbers(folder, tmp_path):
    reader = open_network(write_network(tmp_path / "network.pth", class_names=None), None, "cpu")
    found, _ = guesses(reader, folder, FOUND[:1], 9, 1, 0, skip_broken=False)
    assert sorted(found[0].classes) == ["0", "1", "2"] and sum(found[0].probabilities) == pytest.approx(1)


def test_a_program_that_may_hold_code_is_not_read(tmp_path):
    ready(tmp_path / "network.pth")
    (tmp_path / "model.pt2").write_bytes(b"x")
    with pytest.raises(UserError, match="reading that format may run code that is in it: give the folder"):
        open_network(tmp_path / "model.pt2", None, "cpu")


def test_a_run_s_folder_is_answered_with_its_checkpoints(tmp_path):
    write_network(tmp_path / "kd_best.pth")
    with pytest.raises(UserError, match=r"give the path of a .pth file; in that folder are kd_best.pth"):
        open_network(tmp_path, None, "cpu")
