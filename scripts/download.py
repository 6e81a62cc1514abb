"""Downloads that go on where they were cut, over http and https.

An unfinished download stands in `<file>.part`, and `<file>.part.json` says what it is a part of. It goes on
where it stopped only when the server shows that it still has the same version of the same file.
"""

import json
import os
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, IncompleteRead, MaxRetryError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

from helper.errors import UserError, one_line
from helper.files import write_atomically

MAX_BYTES = 500_000_000  # ResNet50, the largest published teacher, takes 190 MB with its optimizer's momentum
CHUNK = 1 << 18
LONGEST_PAUSE = 60.0  # seconds
BEGINNINGS = (b"PK\x03\x04", b"\x80")  # of torch.save: a zip archive now, a pickle before PyTorch 1.6


class TryAgain(UserError):
    """A failure that may pass: an overloaded server, a connection that stalls or closes early."""


class Unreachable(TryAgain):
    """No server answered at all."""


class Patience(Retry):
    """urllib3's count of attempts, with a pause before the first further one too; the pauses double."""

    def get_backoff_time(self) -> float:
        return min(LONGEST_PAUSE, self.backoff_factor * 2.0 ** min(len(self.history) - 1, 16))


class Downloader:
    """Brings files, each in several attempts if need be.

    timeout: seconds to wait for a server; retries: further attempts; backoff: seconds before the first one.
    """

    def __init__(self, timeout: float, retries: int, backoff: float):
        self.timeout, self.session = timeout, requests.Session()
        self.patience = Patience(total=retries, backoff_factor=backoff)

    def download(self, url: str, part: Path) -> bool:
        """Complete the part; returns whether it was put together from several attempts.

        A server that cannot be reached takes all further ones: it is gone for the next file too. Raises
        UserError when they are used up, or at once for what will not pass: a file that does not exist, is no
        checkpoint or is larger than MAX_BYTES.
        """
        patience = self.patience
        while True:
            try:
                return self.transfer(url, part)
            except TryAgain as failure:
                try:
                    patience = patience.increment("GET", url, error=failure)
                except MaxRetryError:
                    count = len(patience.history) + 1
                    if isinstance(failure, Unreachable):
                        self.patience = self.patience.new(total=0)
                    raise UserError(f"{failure}, {count} attempt{'s' * (count > 1)}") from failure
                print(f"  {failure}; trying again in {patience.get_backoff_time():g} s", flush=True)
                patience.sleep()

    def transfer(self, url: str, part: Path) -> bool:
        """One attempt to complete the part; returns whether bytes of an earlier attempt are in it."""
        have, origin = unfinished(part, url)
        size = origin.get("size")
        if have and have == size:
            return True
        headers = {"User-Agent": "modreduce", "Accept-Encoding": "identity"}
        if have:
            # RFC 9110, section 13.1.5: a weak ETag may not be used here
            strong = origin["etag"] if (origin["etag"] or "").startswith('"') else None
            headers |= {"Range": f"bytes={have}-", "If-Range": strong or origin["last_modified"]}
        with self.ask(url, headers) as answer:
            span = answer.headers.get("Content-Range", "").strip()
            if (
                not have
                or origin_of(answer, url, have) != origin
                or span != f"bytes {have}-{size - 1}/{size}"
            ):
                discard(part)
                if answer.status_code != 200:
                    return self.transfer(url, part)
                have = 0
                write_atomically(origin_file(part), json.dumps(origin_of(answer, url)))
            receive(answer, url, part, have)
        return have > 0

    def ask(self, url: str, headers: dict[str, Any]) -> requests.Response:
        """The server's answer with its body unread: status 200, or 206 and 416 when a range was asked for.

        Raises TryAgain (Unreachable) for what may pass, UserError for what is final.
        """
        try:
            answer = self.session.get(url, headers=headers, timeout=self.timeout, stream=True)
        except (ValueError, requests.TooManyRedirects) as error:
            raise UserError(
                f"{url} is no address, or redirects to where this program does not follow"
            ) from error
        except requests.RequestException as error:
            cause: BaseException = error  # what the system said is at the bottom of all that was made of it
            while cause.__context__ is not None:
                cause = cause.__context__
            why = one_line(cause) or type(cause).__name__
            if isinstance(error, requests.ConnectionError) and not isinstance(error.args[0], ProtocolError):
                raise Unreachable(f"{url} could not be reached ({why})") from error
            raise TryAgain(f"{url} did not answer ({why})") from error
        status, schemes = answer.status_code, [step.url.split(":")[0] for step in (*answer.history, answer)]
        if schemes == sorted(schemes) and (status == 200 or ("Range" in headers and status in (206, 416))):
            return answer
        answer.close()
        if schemes != sorted(schemes):
            raise UserError(f"{url} redirects to where this program does not follow: from https back to http")
        kind = TryAgain if status >= 500 or status in (408, 429) else UserError
        raise kind(f"{url} answered {status} {answer.reason}")


def discard(part: Path) -> None:
    """Remove an unfinished download."""
    part.unlink(missing_ok=True)
    origin_file(part).unlink(missing_ok=True)


def origin_file(part: Path) -> Path:
    """The file beside an unfinished download that says what it is a part of."""
    return part.with_name(part.name + ".json")


def origin_of(answer: requests.Response, url: str, have: int = 0) -> dict[str, Any]:
    """What the server says of the whole file, of which it sends what comes after `have` bytes."""
    size, headers = answer.raw.length_remaining, answer.headers
    version = {"etag": headers.get("ETag"), "last_modified": headers.get("Last-Modified")}
    return {"url": url, "size": None if size is None else size + have, **version}


def unfinished(part: Path, url: str) -> tuple[int, dict[str, Any]]:
    """The bytes already here and what the server said of the whole; (0, {}) when they are of no use now."""
    try:
        origin, have = json.loads(origin_file(part).read_text()), part.stat().st_size
        usable = (
            origin.keys() >= {"etag", "last_modified"} and origin["url"] == url and have <= origin["size"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, {}
    return (have, origin) if usable else (0, {})


def receive(answer: requests.Response, url: str, part: Path, have: int) -> None:
    """Append the answer's body to the part, of which `have` bytes are here already."""
    size = origin_of(answer, url, have)["size"]
    bar = tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=part.parent.name, disable=None)
    try:
        with open(part, "ab" if have else "wb") as file, bar:
            # read1 gives what has come, not a whole chunk: what a stalled server sent before is kept
            while have != size and (chunk := answer.raw.read1(CHUNK)):
                if have == 0 and not any(chunk.startswith(b) or b.startswith(chunk) for b in BEGINNINGS):
                    raise UserError(f"{url} is not a checkpoint: it begins with {chunk[:16]!r}")
                have += len(chunk)
                if max(have, size or 0) > MAX_BYTES:
                    raise UserError(f"{url} is too large: more than the {MAX_BYTES} bytes that are taken")
                file.write(chunk)
                bar.update(len(chunk))
            os.fsync(file.fileno())
    except ReadTimeoutError as error:
        raise TryAgain(f"{url} stalled after {have} of {size or '?'} bytes") from error
    except HTTPError as error:
        how = "closed the connection" if isinstance(error.__cause__, IncompleteRead) else "broke off"
        raise TryAgain(f"{url} {how} after {have} of {size or '?'} bytes") from error
    except UserError:
        discard(part)
        raise
