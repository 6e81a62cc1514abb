"""Downloading teachers from servers that cut, stall, lie, fail and change their files."""

import io
import time
from pathlib import Path

import pytest
import requests

from helper.errors import UserError
from scripts import download
from tests.scripts.teacher_server import (
    CUT,
    file,
    files,
    place,
    published,
    respond,
    run,
    saved,
    serving,
    status,
    summary,
    weights,
)


@pytest.fixture
def server(monkeypatch, tmp_path):
    yield from serving(monkeypatch, tmp_path)


@pytest.fixture
def save(tmp_path) -> Path:
    return tmp_path / "save"


def test_a_cut_connection_goes_on_where_it_was_cut(server, save):
    server.teacher("resnet56", file(published(), cut=CUT), file(published(), cut=2 * CUT), file(published()))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert place(save).read_bytes() == published()


def test_a_later_command_goes_on_with_what_an_earlier_one_left(server, save, capsys):
    server.teacher("resnet56", file(published(), cut=CUT))
    assert run(save, retries=0) == 1
    assert "closed the connection after 1000000 of" in capsys.readouterr().out
    assert not place(save).exists()
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == published()


def test_a_part_from_another_address_is_of_no_use(server, save, monkeypatch):
    server.teacher("resnet56", file(published(seed=1), cut=CUT))
    assert run(save, retries=0) == 1
    server.answers["/mirror/resnet56_vanilla/ckpt_epoch_240.pth"] = [file(published())]
    monkeypatch.setenv("TEACHER_URL", server.url.replace("/repo", "/mirror"))
    assert run(save) == 0
    assert server.ranges() == [None, None]
    assert place(save).read_bytes() == published()


def test_a_server_that_ignores_ranges_sends_all_again(server, save):
    server.teacher("resnet56", file(published(), cut=CUT), file(published(), ranges=False))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == published()


@pytest.mark.parametrize(
    "misfit",
    [
        {"ETag": '"second"'},
        {"Last_Modified": "Thu, 22 Oct 2020 07:28:00 GMT"},
        {"Content_Range": f"bytes {CUT - 1}-LAST/ALL"},
        {"Content_Range": f"bytes {CUT}-LAST/9999999"},
        {"Content_Range": "bytes 0-1/2"},
        {"Content_Range": "all of it"},
        {"Content_Length": "1000"},
    ],
    ids=str,
)
def test_a_range_of_something_else_starts_over(server, save, misfit):
    """The older version differs by one bit of a weight: put together, the pieces would load."""
    content, size = published(), len(published())
    older = content[: CUT // 2] + bytes([content[CUT // 2] ^ 1]) + content[CUT // 2 + 1 :]
    headers = {
        key: value.replace("LAST", str(size - 1)).replace("ALL", str(size)) for key, value in misfit.items()
    }
    server.teacher("resnet56", file(older, cut=CUT), file(content, **headers))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", None]
    assert place(save).read_bytes() == content


def test_a_range_that_cannot_be_had_starts_over(server, save):
    server.teacher("resnet56", file(published(), cut=CUT), status(416), file(published()))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", None]


def test_pieces_of_two_versions_are_not_kept(server, save, capsys):
    """A server that names no version is not caught in the act: the record tells, and all is fetched again."""
    server.teacher("resnet56", file(published()))
    assert run(save) == 0
    place(save).unlink()
    server.teacher("resnet56", file(published(seed=1), cut=CUT, version={}), file(published(), version={}))
    assert run(save) == 0
    assert server.ranges()[1:] == [None, f"bytes={CUT}-", None]
    assert place(save).read_bytes() == published()


def test_a_stalled_connection_is_given_up_and_resumed(server, save):
    server.teacher("resnet56", file(published(), cut=CUT, after=server.stall), file(published()))
    assert run(save, timeout=1) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == published()


def test_a_server_that_never_speaks_is_given_up(server, save, capsys):
    server.teacher("resnet56", lambda handler: server.stall())
    start = time.monotonic()
    assert run(save, retries=1, timeout=0.2) == 1
    assert time.monotonic() - start < 5
    assert len(server.requests) == 2
    assert "did not answer (timed out), 2 attempts" in capsys.readouterr().out


def test_a_length_longer_than_the_file_is_a_failure(server, save, capsys):
    server.teacher("resnet56", status(200, published(), **{"Content-Length": str(len(published()) + 10)}))
    assert run(save) == 1
    assert (
        f"closed the connection after {len(published())} of {len(published()) + 10} bytes, 3 attempts"
        in capsys.readouterr().out
    )
    assert not place(save).exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_a_length_shorter_than_the_file_is_a_failure(server, save, legacy, capsys):
    content = saved({"model": weights()}, legacy)
    server.teacher("resnet56", status(200, content, **{"Content-Length": str(CUT)}))
    assert run(save) == 1
    assert f"resnet56: {server.url}/resnet56_vanilla/ckpt_epoch_240.pth is damaged" in capsys.readouterr().out
    assert files(save) == []


def test_a_missing_file_is_final_at_once(server, save, capsys):
    assert run(save) == 1
    assert len(server.requests) == 1
    printed = capsys.readouterr().out
    assert "answered 404 Not Found" in printed
    assert summary(printed).endswith(f"train_teacher.py --model resnet56 --save_folder {save}")
    assert files(save) == []


def test_a_server_error_is_tried_again(server, save, capsys):
    server.teacher("resnet56", status(500), status(503), file(published()))
    assert run(save) == 0
    assert len(server.requests) == 3
    server.teacher("wrn_40_2", status(500))
    assert run(save, "wrn_40_2") == 1
    assert len(server.requests) == 6
    assert "answered 500 Internal Server Error, 3 attempts" in capsys.readouterr().out


def test_the_pauses_between_attempts_double(server, save, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.teacher("resnet56", status(500))
    assert run(save, retries=4) == 1
    assert pauses == [0.01, 0.02, 0.04, 0.08]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Not found</title>", b"{}", b"", b"PAGE NOT FOUND"])
def test_a_page_with_status_200_is_not_a_checkpoint(server, save, page, capsys):
    server.teacher("resnet56", status(200, page, **{"Content-Type": "text/html"}))
    assert run(save) == 1
    assert len(server.requests) == 1
    printed = capsys.readouterr().out
    assert "is not a checkpoint" in printed or "no PyTorch checkpoint" in printed
    assert files(save) == []


def test_a_host_that_is_gone_is_waited_for_once(server, save, capsys, monkeypatch):
    server.http.socket.close()
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:9/repo")
    assert run(save, "resnet56", "vgg13") == 1
    printed = capsys.readouterr().out
    assert (
        "resnet56: http://127.0.0.1:9/repo/resnet56_vanilla/ckpt_epoch_240.pth could not be reached"
        in printed
    )
    assert "3 attempts" in printed and "1 attempt\n" in printed


def test_redirects_stay_in_the_web(server, save, tmp_path, capsys):
    (tmp_path / "secret.pth").write_bytes(published())
    for address in (f"file://{tmp_path}/secret.pth", "ftp://127.0.0.1/secret.pth", "data:,x"):
        server.teacher("resnet56", status(302, Location=address))
        assert run(save) == 1
        assert "redirects to where this program does not follow" in capsys.readouterr().out
    assert len(server.requests) == 3
    server.answers["/elsewhere"] = [file(published())]
    server.teacher("resnet56", status(302, Location="/elsewhere"))
    assert run(save) == 0


def answer(url: str, status_code: int = 200, history: tuple = ()) -> requests.Response:
    """An answer without a server."""
    made = requests.Response()
    made.url, made.status_code, made.history, made.raw = url, status_code, list(history), io.BytesIO()
    return made


@pytest.mark.parametrize(
    ("urls", "followed"),
    [
        (["http://a/x", "https://a/x"], True),
        (["https://a/x", "https://b/x"], True),
        (["https://a/x", "http://a/x"], False),
        (["http://a/x", "https://a/x", "http://a/x", "https://a/x"], False),
    ],
)
def test_redirects_never_go_from_https_back_to_http(urls, followed, monkeypatch):
    downloader = download.Downloader(1, 0, 0)
    last = answer(urls[-1], history=[answer(url, 302) for url in urls[:-1]])
    monkeypatch.setattr(downloader.session, "get", lambda *arguments, **keywords: last)
    if followed:
        assert downloader.ask(urls[0], {}) is last
    else:
        with pytest.raises(UserError, match="from https back to http"):
            downloader.ask(urls[0], {})


def test_redirects_without_end_are_final(server, save, capsys):
    server.teacher("resnet56", status(302, Location="/repo/resnet56_vanilla/ckpt_epoch_240.pth"))
    assert run(save) == 1
    assert "redirects to where this program does not follow" in capsys.readouterr().out


def test_a_file_too_large_for_a_teacher_is_refused(server, save, capsys, monkeypatch):
    server.teacher("resnet56", status(200, published()[:1000], **{"Content-Length": str(10**12)}))
    server.teacher("vgg13", lambda handler: respond(handler, 200, published(), {}))
    monkeypatch.setattr(download, "MAX_BYTES", CUT)
    assert run(save, "resnet56", "vgg13") == 1
    assert capsys.readouterr().out.count("is too large") == 2
    assert len(server.requests) == 2
    assert files(save) == []
