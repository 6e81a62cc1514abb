"""Fetching teachers, against a server on this machine that does what servers should not do."""

import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from helper import download, fetch
from helper.errors import UserError, run_script
from models import model_dict

ROOT = Path(__file__).resolve().parent.parent
DATE = "Wed, 21 Oct 2020 07:28:00 GMT"
CUT = 1_000_000

Answer = Callable[[BaseHTTPRequestHandler], None]


def saved(content: object, legacy: bool = False) -> bytes:
    """The bytes of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def weights(name: str = "resnet56", num_classes: int = 100, seed: int = 0) -> dict[str, torch.Tensor]:
    """A network's weights, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return model_dict[name](num_classes=num_classes).state_dict()


@pytest.fixture(scope="module")
def body() -> bytes:
    """A teacher as it was published: a pickle of the days before zip archives, with settings inside."""
    return saved({"opt": Namespace(model="resnet56"), "model": weights(), "epoch": 240}, legacy=True)


@pytest.fixture(scope="module")
def other_body() -> bytes:
    """Another training of the same network: as many bytes, other values."""
    return saved({"opt": Namespace(model="resnet56"), "model": weights(seed=1), "epoch": 240}, legacy=True)


class Server:
    """Answers each path by its list of answers, the last one again and again; keeps what was asked."""

    def __init__(self):
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range")))
                answers = server.answers.get(self.path, [status(404)])
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/repo"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def teacher(self, name: str, *answers: Answer) -> None:
        """What is answered to those who want this teacher."""
        self.answers[f"/repo/{name}_vanilla/ckpt_epoch_240.pth"] = list(answers)

    def ranges(self) -> list[str | None]:
        """The Range header of every request."""
        return [asked for _, asked in self.requests]

    def stall(self) -> None:
        """Keep a connection open and say nothing."""
        self.closing.wait(20)

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def respond(handler: BaseHTTPRequestHandler, code: int, content: bytes, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int, content: bytes = b"", **headers: str) -> Answer:
    """An answer with this status whatever is asked."""
    return lambda handler: respond(handler, code, content, {"Content-Length": str(len(content)), **headers})


def file(
    content: bytes,
    cut: int | None = None,
    after: Callable[[], None] = lambda: None,
    ranges: bool = True,
    version: dict[str, str] | None = None,
    **changed: str,
) -> Answer:
    """A good server's file; or one that sends `cut` bytes only and then does `after`, or changes headers of a range."""
    version = {"ETag": '"first"', "Last-Modified": DATE} if version is None else version

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
        headers = {**version, "Content-Length": str(len(content) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            headers |= {key.replace("_", "-"): value for key, value in changed.items()}
        respond(handler, 206 if start else 200, content[start:cut], headers)
        handler.wfile.flush()
        after()

    return answer


@pytest.fixture
def server(monkeypatch) -> Server:
    server = Server()
    monkeypatch.setenv("TEACHER_URL", server.url + "/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.close()


@pytest.fixture
def save(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(fetch, "PRETRAINED", tmp_path / "pretrained")
    (tmp_path / "pretrained").mkdir()
    return tmp_path / "save"


def run(save: Path, *arguments: str, retries: int = 2) -> int:
    patience = ["--timeout", "0.3", "--backoff", "0.01", "--retries", str(retries)]
    return fetch.main([*(arguments or ["resnet56"]), "--save_folder", str(save), *patience])


def place(save: Path, name: str = "resnet56") -> Path:
    return save / "models" / f"{name}_vanilla" / "ckpt_epoch_240.pth"


def record(save: Path) -> dict:
    return json.loads((save / "models" / "teachers.json").read_text())


def files(save: Path) -> list[str]:
    """The visible files below the models folder."""
    return sorted(p.name for p in save.rglob("*") if p.is_file() and not p.name.startswith("."))


def summary(printed: str, name: str = "resnet56") -> str:
    """The teacher's line in the table at the end."""
    table = printed[printed.index("teacher  ") :]
    return next(line for line in table.splitlines() if line.startswith(name))


def test_a_teacher_is_fetched_recorded_and_then_left_alone(server, save, body, capsys):
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    assert place(save).read_bytes() == body
    entry = record(save)["resnet56"]
    assert (entry["size"], entry["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert files(save) == ["ckpt_epoch_240.pth", "teachers.json"]
    line = summary(capsys.readouterr().out)
    assert "fetched" in line and f"{len(body) / 1e6:.1f} MB" in line and entry["sha256"][:12] in line

    assert run(save) == 0
    assert len(server.requests) == 1
    assert "already there, checked" in capsys.readouterr().out


def test_a_zip_archive_of_today_is_fetched_too(server, save):
    content = saved({"model": weights(), "arch": "resnet56", "num_classes": 100})
    server.teacher("resnet56", file(content))
    assert run(save) == 0
    assert place(save).read_bytes() == content


def test_a_cut_connection_goes_on_where_it_was_cut(server, save, body):
    server.teacher("resnet56", file(body, cut=CUT), file(body, cut=2 * CUT), file(body))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert place(save).read_bytes() == body


def test_a_later_command_goes_on_with_what_an_earlier_one_left(server, save, body, capsys):
    server.teacher("resnet56", file(body, cut=CUT))
    assert run(save, retries=0) == 1
    assert "closed the connection after 1000000 of" in capsys.readouterr().out
    assert not place(save).exists()
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == body


def test_a_part_from_another_address_is_of_no_use(server, save, body, other_body, monkeypatch):
    server.teacher("resnet56", file(other_body, cut=CUT))
    assert run(save, retries=0) == 1
    server.answers["/mirror/resnet56_vanilla/ckpt_epoch_240.pth"] = [file(body)]
    monkeypatch.setenv("TEACHER_URL", server.url.replace("/repo", "/mirror"))
    assert run(save) == 0
    assert server.ranges() == [None, None]
    assert place(save).read_bytes() == body


def test_a_server_that_ignores_ranges_sends_all_again(server, save, body):
    server.teacher("resnet56", file(body, cut=CUT), file(body, ranges=False))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == body


@pytest.mark.parametrize(
    "misfit",
    [
        {"ETag": '"second"'},
        {"Last_Modified": "Thu, 22 Oct 2020 07:28:00 GMT"},
        {"Content_Range": f"bytes {CUT - 1}-%d/%d"},
        {"Content_Range": f"bytes {CUT}-%d/9999999"},
        {"Content_Range": "bytes 0-1/2"},
        {"Content_Range": "all of it"},
        {"Content_Length": "1000"},
    ],
    ids=str,
)
def test_a_range_of_something_else_starts_over(server, save, body, other_body, misfit):
    ends = (
        {"Content_Range": misfit["Content_Range"].replace("%d", str(len(body)))}
        if "Content_Range" in misfit
        else {}
    )
    server.teacher("resnet56", file(other_body, cut=CUT), file(body, **{**misfit, **ends}))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", None]
    assert place(save).read_bytes() == body


def test_a_range_that_cannot_be_had_starts_over(server, save, body):
    server.teacher("resnet56", file(body, cut=CUT), status(416), file(body))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-", None]


def test_pieces_of_two_versions_are_not_kept(server, save, body, other_body, capsys):
    """A server that names no version can't be caught in the act: the record tells, and all is fetched once more."""
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    place(save).unlink()
    server.teacher("resnet56", file(other_body, cut=CUT, version={}), file(body, version={}))
    assert run(save) == 0
    assert server.ranges()[1:] == [None, f"bytes={CUT}-", None]
    assert place(save).read_bytes() == body


def test_a_stalled_connection_is_given_up_and_resumed(server, save, body):
    server.teacher("resnet56", file(body, cut=CUT, after=server.stall), file(body))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={CUT}-"]
    assert place(save).read_bytes() == body


def test_a_server_that_never_speaks_is_given_up(server, save, capsys):
    server.teacher("resnet56", lambda handler: server.stall())
    start = time.monotonic()
    assert run(save, retries=1) == 1
    assert time.monotonic() - start < 5
    assert len(server.requests) == 2
    assert "did not answer (timed out), 2 attempts" in capsys.readouterr().out


def test_a_length_longer_than_the_file_is_a_failure(server, save, body, capsys):
    server.teacher("resnet56", status(200, body, **{"Content-Length": str(len(body) + 10)}))
    assert run(save) == 1
    assert (
        f"closed the connection after {len(body)} of {len(body) + 10} bytes, 3 attempts"
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
    assert summary(printed).endswith(f"python train_teacher.py --model resnet56 --save_folder {save}")
    assert files(save) == []


def test_a_server_error_is_tried_again(server, save, body, capsys):
    server.teacher("resnet56", status(500), status(503), file(body))
    assert run(save) == 0
    assert len(server.requests) == 3
    server.teacher("wrn_40_2", status(500))
    assert run(save, "wrn_40_2") == 1
    assert len(server.requests) == 6
    assert "answered 500 Internal Server Error, 3 attempts" in capsys.readouterr().out


def test_the_pauses_between_attempts_double(server, save, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
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


class Evil:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("legacy", [True, False, None], ids=["legacy", "zip", "bare pickle"])
def test_code_in_a_checkpoint_is_not_run(server, save, tmp_path, legacy, capsys):
    marker = tmp_path / "ran"
    content = {"model": weights(), "opt": Evil(marker)}
    server.teacher(
        "resnet56", file(pickle.dumps(Evil(marker), 2) if legacy is None else saved(content, legacy))
    )
    assert run(save) == 1
    assert not marker.exists()
    assert "ckpt_epoch_240.pth holds code" in capsys.readouterr().out or legacy is None
    assert files(save) == []


def broken(name: str) -> object:
    """Checkpoints that load, but are not the resnet56 that was asked for."""
    nan = weights()
    nan["fc.weight"][3, 5] = float("nan")
    return {
        "resnet20": {"model": weights("resnet20")},
        "10 classes": {"model": weights(num_classes=10)},
        "another name": {"model": weights(), "arch": "resnet110"},
        "not finite": {"model": nan},
        "no model": {"state_dict": weights()},
        "a list": [weights()],
        "numbers as keys": {"model": {1: torch.zeros(2)}},
        "words as weights": {"model": {"fc.weight": "none"}},
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "resnet20",
        "10 classes",
        "another name",
        "not finite",
        "no model",
        "a list",
        "numbers as keys",
        "words as weights",
    ],
)
def test_what_is_not_the_teacher_is_refused(server, save, name, capsys):
    server.teacher("resnet56", file(saved(broken(name))))
    assert run(save) == 1
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("resnet56: ") for line in printed) == 1
    assert ".part" not in printed[0]
    assert files(save) == []


def test_another_content_than_at_first_is_refused(server, save, body, other_body, capsys):
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    first = record(save)
    place(save).unlink()
    server.teacher("resnet56", file(other_body))
    assert run(save) == 1
    assert "is not the resnet56 first fetched" in capsys.readouterr().out
    assert files(save) == ["teachers.json"]
    assert record(save) == first

    (save / "models" / "teachers.json").write_text("{}")
    assert run(save) == 0
    assert place(save).read_bytes() == other_body


def test_an_altered_file_is_reported_and_left(server, save, body, other_body, capsys):
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    place(save).write_bytes(other_body)
    assert run(save) == 1
    assert place(save).read_bytes() == other_body
    assert len(server.requests) == 1
    assert summary(capsys.readouterr().out.split("checked", 1)[1]).endswith(
        f"remove {place(save)}, then fetch again"
    )


def test_a_teacher_trained_here_stays_and_is_not_recorded(server, save, other_body, capsys):
    place(save).parent.mkdir(parents=True)
    place(save).write_bytes(other_body)
    assert run(save) == 0
    assert "already there" in summary(capsys.readouterr().out)
    assert (server.requests, files(save)) == ([], ["ckpt_epoch_240.pth"])

    place(save).write_bytes(other_body[:CUT])
    assert run(save) == 1
    assert "damaged" in summary(capsys.readouterr().out)
    assert place(save).read_bytes() == other_body[:CUT]


def test_the_repository_helps_out_with_half_precision(server, save, capsys):
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights().items()}
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(
        saved({"model": half, "arch": "resnet56", "accuracy": 70.0})
    )
    assert run(save) == 0
    printed = capsys.readouterr().out
    assert "answered 404" in printed and "from pretrained/" in summary(printed)
    content = torch.load(place(save), weights_only=True)
    assert content["accuracy"] == 70.0
    for key, value in content["model"].items():
        assert value.dtype == (torch.float32 if half[key].is_floating_point() else torch.int64)
        assert torch.equal(value, half[key].to(value.dtype))
    assert record(save)["resnet56"]["sha256"] == hashlib.sha256(place(save).read_bytes()).hexdigest()
    assert run(save) == 0
    place(save).unlink()
    assert run(save) == 0

    place(save).unlink()
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(saved({"model": weights(seed=1)}))
    assert run(save) == 1
    assert not place(save).exists()


def test_the_repository_s_file_is_checked_as_strictly(server, save, capsys):
    (fetch.PRETRAINED / "resnet56.pth").write_bytes(saved({"model": weights("resnet20")}))
    assert run(save) == 1
    assert "of another architecture" in capsys.readouterr().out
    assert files(save) == []


def test_one_failure_does_not_stop_the_others(server, save, body, capsys):
    server.teacher("resnet56", file(body))
    (save / "models").mkdir(parents=True)
    (save / "models" / "vgg13_vanilla").write_text("a file where a folder should be")
    assert run(save, "wrn_40_2", "vgg13", "resnet56", "resnet56") == 1
    printed = capsys.readouterr().out
    assert "failed" in summary(printed, "wrn_40_2") and "failed" in summary(printed, "vgg13")
    assert "fetched" in summary(printed, "resnet56")
    assert place(save).exists()
    assert len(server.requests) == 2


def test_without_names_all_six_are_wanted(server, save, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert fetch.main([]) == 1
    names = ["wrn_40_2", "resnet56", "resnet110", "resnet32x4", "vgg13", "ResNet50"]
    assert [path for path, _ in server.requests] == [f"/repo/{n}_vanilla/ckpt_epoch_240.pth" for n in names]
    printed = capsys.readouterr().out
    for name in names:
        assert sum(line.startswith(f"{name}: ") for line in printed.splitlines()) == 1
        assert summary(printed, f"{name} ").endswith(f"python train_teacher.py --model {name}")


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


def test_redirects_stay_in_the_web(server, save, body, tmp_path, capsys):
    (tmp_path / "secret.pth").write_bytes(body)
    for address in (f"file://{tmp_path}/secret.pth", "ftp://127.0.0.1/secret.pth", "data:,x"):
        server.teacher("resnet56", status(302, Location=address))
        assert run(save) == 1
        assert "redirects to where this program does not follow" in capsys.readouterr().out
    assert len(server.requests) == 3
    server.answers["/elsewhere"] = [file(body)]
    server.teacher("resnet56", status(302, Location="/elsewhere"))
    assert run(save) == 0


def test_a_file_too_large_for_a_teacher_is_refused(server, save, body, capsys, monkeypatch):
    server.teacher("resnet56", status(200, body, **{"Content-Length": str(10**12)}))
    server.teacher("vgg13", lambda handler: respond(handler, 200, body, {}))
    monkeypatch.setattr(download, "MAX_BYTES", CUT)
    assert run(save, "resnet56", "vgg13") == 1
    assert capsys.readouterr().out.count("is too large") == 2
    assert len(server.requests) == 2
    assert files(save) == []


@pytest.mark.parametrize(
    ("arguments", "url", "message"),
    [
        (["resnet50"], None, "unknown teacher 'resnet50'; the published teachers are wrn_40_2, resnet56, "),
        (["../../etc"], None, "unknown teacher '../../etc'"),
        (["--timeout", "0"], None, "--timeout: 0 is not a number above 0"),
        (["--timeout", "1e9"], None, "--timeout is 1e+09 seconds: at most 86400"),
        (["--retries", "-1"], None, "--retries: -1 is not a whole number from 0"),
        (["--backoff", "x"], None, "--backoff: 'x' is not a number from 0"),
        ([], "file:///tmp", "TEACHER_URL is 'file:///tmp': it must be an address that begins with http://"),
        ([], "mirror", "TEACHER_URL is 'mirror'"),
    ],
)
def test_wrong_arguments_end_in_one_line(tmp_path, monkeypatch, capsys, arguments, url, message):
    if url:
        monkeypatch.setenv("TEACHER_URL", url)
    with pytest.raises(SystemExit) as end:
        run_script(lambda: fetch.main([*arguments, "--save_folder", str(tmp_path / "save")]))
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, "")
    assert message in printed.err and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"resnet56": {}}', '{"resnet56": {"size": 1, "sha256": "ab"}}']
)
def test_a_damaged_record_is_not_overwritten(server, save, content):
    (save / "models").mkdir(parents=True)
    (save / "models" / "teachers.json").write_text(content)
    with pytest.raises(UserError, match=r"teachers\.json is damaged"):
        run(save)
    assert (save / "models" / "teachers.json").read_text() == content


def test_a_second_fetch_at_the_same_time_is_refused(server, save):
    with fetch.alone(save / "models"), pytest.raises(UserError, match="another fetch is under way"):
        run(save)
    assert server.requests == []


def test_an_interrupt_keeps_the_part_and_says_so(server, save, body, tmp_path):
    """Started as a user does, by the script in the root, from another folder."""
    server.teacher("resnet56", file(body, cut=CUT, after=server.stall))
    command = ["sh", str(ROOT / "fetch_pretrained_teachers.sh"), "resnet56", "--save_folder", str(save)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        part = place(save).with_name("ckpt_epoch_240.pth.part")
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert f"interrupted; {part} (" in error and "the same command goes on from there" in error
    assert "Traceback" not in error
    kept = part.stat().st_size
    assert 0 < kept <= CUT
    server.teacher("resnet56", file(body))
    assert run(save) == 0
    assert server.ranges() == [None, f"bytes={kept}-"]
    assert place(save).read_bytes() == body
