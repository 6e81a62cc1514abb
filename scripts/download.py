"""Resumable downloads of checkpoints over http and https, with the standard library alone.

An unfinished download stands in `<file>.part`, and `<file>.part.json` says what it is a part of. It goes on
where it stopped only when the server shows that it still has the same version of the same file.
"""

import http.client
import json
import re
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from helper.errors import UserError, one_line
from helper.files import write_atomically

# ResNet50, the largest published teacher, takes 190 MB with its optimizer's momentum.
MAX_BYTES = 500_000_000
CHUNK = 1 << 18
LONGEST_WAIT = 60.0  # seconds
# How torch.save begins a file: a zip archive now, a pickle before PyTorch 1.6.
BEGINNINGS = (b"PK\x03\x04", b"\x80")


class TryAgain(UserError):
    """A failure that may pass: an overloaded server, a connection that stalls or closes early."""


class Unreachable(TryAgain):
    """No server answered at all."""


@dataclass
class Patience:
    """Seconds to wait for a server, how often to try again, and seconds before that (doubling)."""

    timeout: float
    retries: int
    backoff: float


def download(url: str, part: Path, patience: Patience) -> bool:
    """Complete the part, in several attempts if need be; returns whether it was put together from several.

    A server that cannot be reached takes all further retries from `patience`: it is gone for the next file
    too. Raises UserError when the attempts are used up, or at once for what will not pass: a file that does
    not exist, is no checkpoint or is larger than MAX_BYTES.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return transfer(url, part, patience.timeout)
        except TryAgain as failure:
            if attempt > patience.retries:
                if isinstance(failure, Unreachable):
                    patience.retries = 0
                raise UserError(
                    f"{failure}, {attempt} {'attempt' if attempt == 1 else 'attempts'}"
                ) from failure
            wait = min(LONGEST_WAIT, patience.backoff * 2.0 ** min(attempt - 1, 16))
            print(f"  {failure}; trying again in {wait:g} s", flush=True)
            time.sleep(wait)


def discard(part: Path) -> None:
    """Remove an unfinished download."""
    part.unlink(missing_ok=True)
    origin_file(part).unlink(missing_ok=True)


def origin_file(part: Path) -> Path:
    """The file beside an unfinished download that says what it is a part of."""
    return part.with_name(part.name + ".json")


def unfinished(part: Path, url: str) -> tuple[int, dict]:
    """The bytes already here and what the server said of the whole; (0, {}) when they are of no use now."""
    try:
        origin = json.loads(origin_file(part).read_text())
        have = part.stat().st_size
        usable = origin["url"] == url and (origin["size"] is None or have <= origin["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, {}
    return (have, origin) if usable else (0, {})


def transfer(url: str, part: Path, timeout: float) -> bool:
    """One attempt to complete the part; returns whether bytes of an earlier attempt are in it."""
    have, origin = unfinished(part, url)
    if have and have == origin["size"]:
        return True
    with ask(url, request_headers(have, origin), timeout) as answer:
        if answer.status == 200:
            discard(part)
            have, origin = 0, {"url": url, "size": answer.length}
            origin |= {
                "etag": answer.headers.get("ETag"),
                "last_modified": answer.headers.get("Last-Modified"),
            }
            write_atomically(origin_file(part), json.dumps(origin))
        fits = answer.status == 200 or continues(answer, have, origin)
        if fits:
            receive(answer, url, part, have, origin["size"])
    if not fits:
        discard(part)
        return transfer(url, part, timeout)
    return have > 0


def request_headers(have: int, origin: dict) -> dict[str, str]:
    """What to tell the server: which bytes are wanted, and of which version of the file."""
    headers = {"User-Agent": "modreduce", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        etag = origin.get("etag") or ""
        # RFC 9110, section 13.1.5: a weak ETag may not be used here.
        version = etag if etag.startswith('"') else origin.get("last_modified")
        if version:
            headers["If-Range"] = version
    return headers


def continues(answer: http.client.HTTPResponse | HTTPError, have: int, origin: dict) -> bool:
    """Whether a range answer goes on exactly where the part ends, in the same version of the same file."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if answer.status != 206 or not found or int(found[1]) != have:
        return False
    length = int(found[2]) + 1 - have
    return (
        length > 0
        and (found[3] == "*" or origin["size"] in (None, int(found[3])))
        and answer.length in (None, length)
        and answer.headers.get("ETag") == origin.get("etag")
        and answer.headers.get("Last-Modified") == origin.get("last_modified")
    )


def receive(answer: http.client.HTTPResponse, url: str, part: Path, have: int, size: int | None) -> None:
    """Append the answer's body to the part, up to `size` bytes in all (None: until the server ends it)."""
    name = part.parent.name.removesuffix("_vanilla")
    try:
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=name, disable=None) as bar,
        ):
            if size is not None:
                refuse_large(size, url)
            while size is None or have < size:
                chunk = read_some(answer, url, have, size)
                if not chunk:
                    break
                if have == 0:
                    refuse_other(chunk, url)
                have += len(chunk)
                refuse_large(have, url)
                file.write(chunk)
                bar.update(len(chunk))
    except TryAgain:
        raise
    except UserError:
        discard(part)
        raise
    if size is not None and have < size:
        raise TryAgain(f"{url} closed the connection after {have} of {size} bytes")


def read_some(answer: http.client.HTTPResponse, url: str, have: int, size: int | None) -> bytes:
    """The next bytes that arrive, empty at the end. Raises TryAgain when the connection fails."""
    try:
        return answer.read1(CHUNK if size is None else min(CHUNK, size - have))
    except TimeoutError as error:
        raise TryAgain(f"{url} stalled after {have} of {size or '?'} bytes") from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"{url} broke off after {have} of {size or '?'} bytes") from error


def refuse_other(beginning: bytes, url: str) -> None:
    """Raise UserError when a file begins like no checkpoint: a web page with status 200."""
    if not any(beginning.startswith(known) or known.startswith(beginning) for known in BEGINNINGS):
        raise UserError(f"{url} is not a checkpoint: it begins with {beginning[:16]!r}")


def refuse_large(size: int, url: str) -> None:
    """Raise UserError when a file is larger than any teacher."""
    if size > MAX_BYTES:
        raise UserError(f"{url} is too large: {size} bytes or more, at most {MAX_BYTES} are taken")


class WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the web only, and never from https back to http."""

    def redirect_request(self, request, answer, code, message, headers, new_url):
        allowed = ("https",) if urlsplit(request.full_url).scheme == "https" else ("http", "https")
        if urlsplit(new_url).scheme not in allowed:
            raise HTTPError(request.full_url, code, "redirect refused", headers, answer)
        return super().redirect_request(request, answer, code, message, headers, new_url)


def web_opener() -> urllib.request.OpenerDirector:
    """Opens http and https alone: urllib's own opener knows file:, ftp: and data: too."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPSHandler())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(WebRedirects())
    return opener


def ask(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse | HTTPError:
    """The server's answer with its body unread: status 200, or 206 and 416 when a range was asked for.

    Raises TryAgain (Unreachable) for what may pass, UserError for what is final.
    """
    try:
        answer = web_opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        answer = error
    except URLError as error:
        raise Unreachable(f"{url} could not be reached ({one_line(error.reason)})") from error
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url!r} is no address") from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"{url} did not answer ({one_line(error) or type(error).__name__})") from error
    if answer.status == 200 or ("Range" in headers and answer.status in (206, 416)):
        return answer
    answer.close()
    status = f"{answer.status} {http.client.responses.get(answer.status, '')}".strip()
    if answer.status >= 500 or answer.status in (408, 429):
        raise TryAgain(f"{url} answered {status}")
    if 300 <= answer.status < 400:
        raise UserError(f"{url} redirects to where this program does not follow ({status})")
    raise UserError(f"{url} answered {status}")
