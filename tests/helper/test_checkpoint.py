"""Checkpoints of others: what loads, what is told about what does not, and that none of it is ever run."""

import builtins
import collections
import gzip
import io
import os
import pathlib
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helper.checkpoint import digest, read_checkpoint, write_checkpoint
from helper.errors import UserError

WEIGHTS = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.zeros(2)}
both_formats = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "old format"])


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


class Code:
    """What an attacker's pickle does when it is loaded by the usual means."""

    def __reduce__(self):
        return os.mkdir, ("written-by-code",)


@both_formats
@pytest.mark.parametrize(
    "number",
    [
        np.float64(62.5),
        np.float32(0.5),
        np.int64(7),
        np.uint8(3),
        np.bool_(True),
        np.float16(2),
        np.complex64(1j),
        np.str_("x"),
    ],
    ids=lambda number: type(number).__name__,
)
def test_numpys_numbers_beside_the_weights_load_as_pythons(number, as_zip, tmp_path):
    path = tmp_path / "numbers.pth"
    content = {"model": WEIGHTS, "acc": number, "log": [{"best": number}], "pair": (number, 1)}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    found = read_checkpoint(path)
    assert found["acc"] == number.item() and type(found["acc"]) is type(number.item())
    assert found["log"] == [{"best": number.item()}] and found["pair"] == (number.item(), 1)
    assert torch.equal(found["model"]["fc.weight"], WEIGHTS["fc.weight"])


@both_formats
@pytest.mark.parametrize(
    ("content", "entry", "kept"),
    [
        ({"model": WEIGHTS, "path": pathlib.PurePosixPath("x")}, "path", {"model"}),
        ({"model": WEIGHTS, "log": collections.defaultdict(list, loss=[1.0])}, "log", {"model", "log"}),
        ({"model": collections.defaultdict(int, WEIGHTS)}, "model", {"model"}),
        ({"model": nn.Linear(3, 2)}, "model", {"model"}),
        ({"model": WEIGHTS, "curve": np.zeros(3)}, "curve", {"model"}),
        ({"model": WEIGHTS, "when": np.datetime64("2026-01-01")}, "when", {"model"}),
        ({"model": WEIGHTS, "opt": {"a": [{"root": pathlib.PurePosixPath("x")}]}}, "opt.a.root", {"model"}),
        (nn.Linear(3, 2), None, {"model"}),
    ],
    ids=["path", "defaultdict", "weights", "network", "array", "date", "deep", "bare network"],
)
def test_an_entry_that_holds_an_object_is_named_and_two_lines_convert_the_file(
    content, entry, kept, as_zip, tmp_path
):
    path = tmp_path / "objects.pth"
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    line = refusal(path)
    assert line.startswith(f"{path} holds code or objects (")
    assert entry is None or f"in its entry '{entry}'" in line
    first, second = re.findall("`([^`]*)`", line)
    exec(f"{first}\n{second}", {})
    converted = read_checkpoint(tmp_path / "objects_plain.pth")
    assert set(converted) == kept
    assert sorted(value.shape for value in converted["model"].values()) == [(2,), (2, 3)]


@both_formats
def test_code_in_a_file_is_run_neither_by_reading_nor_by_looking_for_it(as_zip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": WEIGHTS, "extra": Code()}, "code.pth", _use_new_zipfile_serialization=as_zip)
    assert "mkdir in its entry 'extra'" in refusal(Path("code.pth"))
    assert [file.name for file in tmp_path.iterdir()] == ["code.pth"]


def test_numpy_values_that_are_objects_are_refused(tmp_path):
    class Value:
        def __reduce__(self):
            return np.float64(0).__reduce__()[0], (np.dtype("O"), "any object")

    torch.save({"model": WEIGHTS, "value": Value()}, tmp_path / "object.pth")
    assert "numpy.dtype in its entry 'value'" in refusal(tmp_path / "object.pth")


class Pickled:
    """Pickles as what it is told: a callable, its arguments, and a state for what it makes."""

    def __init__(self, *parts: object):
        self.parts = parts

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, None, None, 2**30, 4, 8),
        (3, "<", None, None, None, -5, 4, 8),
        (3, "<", (np.dtype("i4"), (2,)), None, None, 8, 4, 8),
        (3, "<", None, ("a",), {"a": (np.dtype("i4"), 100_000)}, 8, 4, 63),
    ],
    ids=["huge", "negative", "parts", "fields"],
)
def test_what_a_pickle_says_of_a_numpy_type_beside_its_code_does_not_reach_numpy(state, tmp_path):
    kind = Pickled(np.dtype, ("U2", False, True), state)
    number = Pickled(np.float64(0).__reduce__()[0], (kind, "hi".encode("utf-32-le")))
    torch.save({"model": WEIGHTS, "word": number}, tmp_path / "word.pth")
    assert read_checkpoint(tmp_path / "word.pth")["word"] == "hi"


def test_numbers_in_the_other_order_of_bytes_keep_their_value(tmp_path):
    kind = Pickled(np.dtype, ("i4", False, True), (3, ">", None, None, None, -1, -1, 0))
    number = Pickled(np.float64(0).__reduce__()[0], (kind, (258).to_bytes(4, "big")))
    torch.save({"model": WEIGHTS, "epoch": number}, tmp_path / "big.pth")
    assert read_checkpoint(tmp_path / "big.pth")["epoch"] == 258


@both_formats
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_whole_file_of_a_newer_pickle_protocol_is_not_called_damaged(protocol, as_zip, tmp_path):
    path = tmp_path / "newer.pth"
    torch.save(
        {"model": WEIGHTS, "epoch": 3},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=as_zip,
    )
    line = refusal(path)
    assert line.startswith(f"{path} is pickled by protocol {protocol}, which is not read safely")
    exec("\n".join(re.findall("`([^`]*)`", line)), {})
    assert read_checkpoint(tmp_path / "newer_plain.pth")["epoch"] == 3


def tar_archive(inner: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("resnet56.pth")
        member.size = len(inner)
        archive.addfile(member, io.BytesIO(inner))
    return buffer.getvalue()


def zip_archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "teachers")
        archive.writestr(name, b"weights")
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, train_images=np.zeros(3))
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), buffer)
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: tar_archive(b"x"), "is a tar archive, no checkpoint: unpack it (tar xf)"),
        (lambda: gzip.compress(tar_archive(b"x")), "is compressed by gzip, no checkpoint: unpack it"),
        (
            lambda: zip_archive("teachers/resnet56.pth"),
            "give a checkpoint in it, such as teachers/resnet56.pth",
        ),
        (
            lambda: POINTER,
            "is a git-lfs pointer, not the file itself, no checkpoint: fetch that with git lfs",
        ),
        (lambda: b"\n<!DOCTYPE html>\n<html>", "is a web page, no checkpoint: download the file itself"),
        (lambda: b"BZh91AY&SY", "is compressed by bzip2, no checkpoint"),
        (lambda: b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras writes, no checkpoint"),
        (arrays, "is an .npz file of arrays, no checkpoint: give it as --data_folder"),
        (script, "is a TorchScript program, no checkpoint: save its state_dict()"),
    ],
    ids=["tar", "tar.gz", "zip", "git-lfs", "web page", "bzip2", "HDF5", "npz", "TorchScript"],
)
def test_what_is_no_checkpoint_is_named_with_what_to_give_instead(content, said, tmp_path):
    path = tmp_path / "teacher.pth"
    path.write_bytes(content())
    assert refusal(path).startswith(f"{path} ") and said in refusal(path)


def test_a_checkpoint_that_is_called_tar_loads(tmp_path):
    torch.save({"model": WEIGHTS}, tmp_path / "model_best.pth.tar")
    assert read_checkpoint(tmp_path / "model_best.pth.tar")["model"].keys() == WEIGHTS.keys()


def test_safetensors_load_whatever_they_are_called(tmp_path):
    from safetensors.torch import save_file

    for name in ("model.safetensors", "model.pth"):
        save_file(WEIGHTS, tmp_path / name)
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == WEIGHTS.keys()
        assert all(torch.equal(found[key], value) for key, value in WEIGHTS.items())


def test_cut_safetensors_are_damaged_and_without_the_package_a_line_says_so(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert "is damaged: it is cut off" in refusal(path)

    path.write_bytes(whole)
    original = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert refusal(path).endswith("which needs a package: pip install safetensors")


def test_files_with_the_former_checksum_are_still_verified_and_new_ones_rely_on_the_archives_own(tmp_path):
    content = {"model": WEIGHTS, "epoch": 3}
    torch.save({**content, "sha256": digest(content)}, tmp_path / "old.pth")
    assert "sha256" not in read_checkpoint(tmp_path / "old.pth")
    torch.save({**content, "epoch": 4, "sha256": digest(content)}, tmp_path / "changed.pth")
    assert "its checksum does not match its content" in refusal(tmp_path / "changed.pth")

    write_checkpoint(content, tmp_path / "new.pth")
    assert "sha256" not in torch.load(tmp_path / "new.pth", weights_only=True)
    whole = bytearray((tmp_path / "new.pth").read_bytes())
    place = whole.index(WEIGHTS["fc.weight"].numpy().tobytes())
    whole[place] ^= 1
    (tmp_path / "new.pth").write_bytes(whole)
    assert "its checksum does not match its content" in refusal(tmp_path / "new.pth")


def test_a_folder_is_answered_with_the_checkpoints_in_it(tmp_path):
    write_checkpoint({"model": WEIGHTS}, tmp_path / "kd_last.pth")
    assert refusal(tmp_path) == (
        f"no checkpoint at {tmp_path}: give the path of a .pth file; in that folder are kd_last.pth"
    )


def test_a_plain_pickle_is_no_checkpoint(tmp_path):
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps({"model": Code()}))
    assert "no PyTorch checkpoint" in refusal(tmp_path / "pickle.pth")
