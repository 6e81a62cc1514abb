"""A server of teachers that does what it is told, for the tests of fetching."""

import io
import json
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from models import model_dict
from scripts import fetch_teachers as fetch

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


@cache
def published(seed: int = 0) -> bytes:
    """A teacher as it was published: a pickle of the days before zip archives, with settings inside.

    Another seed is another training of the same network: as many bytes, other values.
    """
    content = {"opt": Namespace(model="resnet56"), "model": weights(seed=seed), "epoch": 240}
    return saved(content, legacy=True)


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
    """A good server's file; or only its first `cut` bytes, then `after`; or changed headers of a range."""
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


def serving(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Server]:
    """A server that is the mirror while the test runs, and a repository without teachers (for a fixture)."""
    (folder / "pretrained").mkdir()
    monkeypatch.setattr(fetch, "PRETRAINED", folder / "pretrained")
    server = Server()
    monkeypatch.setenv("TEACHER_URL", server.url + "/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.close()


def run(save: Path, *arguments: str, retries: int = 2, timeout: float = 10) -> int:
    """The exit status; the timeout is one that an answer meets on a busy machine too."""
    patience = ["--timeout", str(timeout), "--backoff", "0.01", "--retries", str(retries)]
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
    table = printed[printed.rindex("teacher  ") :]
    return next(line for line in table.splitlines() if line.startswith(name))
