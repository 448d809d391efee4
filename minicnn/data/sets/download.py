"""Fetching a file from whichever mirror answers: resumable, verified, and quick to give up.

What has arrived waits in ``NAME.part`` next to the target, so that a broken transfer goes on where it stopped, also in
a later run. The target itself appears only when it is complete and verified.
"""

from __future__ import annotations

import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from minicnn.data.errors import DataError, DownloadError

_BLOCK = 1 << 16
# A mirror that sends less than this between two looks at the clock is as good as silent.
_NOTICEABLE = 1 << 14
_RETRIES = 5


@dataclass
class _Head:
    """How a mirror answered: the status and what it says it will send."""

    status: int
    content_type: str
    length: int | None
    first: int


class _MirrorError(Exception):
    """A mirror failed; `again` says that asking it once more may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class _Patience:
    """Counts down while nothing arrives, all mirrors together."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.received = 0
        self.refresh()

    def refresh(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def count(self, size: int) -> None:
        self.received += size
        if self.received >= _NOTICEABLE:
            self.received = 0
            self.refresh()


class _Transfer(threading.Thread):
    """One request in a thread of its own: a name server or a socket that hangs cannot hold up the caller."""

    def __init__(self, url: str, start: int, timeout: float) -> None:
        super().__init__(daemon=True)
        self.url, self.start_at, self.timeout = url, start, timeout
        self.events: SimpleQueue[_Head | bytes | BaseException] = SimpleQueue()
        self.abandoned = threading.Event()

    def run(self) -> None:
        try:
            with _open(self.url, self.start_at, self.timeout) as response:
                self.events.put(_head(response))
                while not self.abandoned.is_set():
                    block = response.read1(_BLOCK)
                    self.events.put(block)
                    if not block:
                        break
        except urllib.error.HTTPError as error:
            error.close()
            self.events.put(error)
        except Exception as error:
            self.events.put(error)

    def next(self, timeout: float) -> _Head | bytes:
        try:
            event = self.events.get(timeout=max(timeout, 0.01))
        except Empty:
            raise _MirrorError("no answer") from None
        if isinstance(event, BaseException):
            raise event
        return event


def fetch(
    target: Path,
    urls: Sequence[str],
    verify: Callable[[Path], None],
    *,
    max_bytes: int,
    patience: float,
) -> Path:
    """Download `target` from the first of `urls` that delivers it.

    Args:
        target: where the file goes; its folder is made. ``NAME.part`` beside it holds an unfinished transfer.
        urls: the mirrors, http or https, tried in turn.
        verify: is given where the complete file waits, and raises `DataError` where it is not the right one.
        max_bytes: no honest mirror sends more than this.
        patience: seconds without any data, over all mirrors together, after which the network is given up.

    Returns:
        `target`.

    Raises:
        DownloadError: no mirror delivered; says what each one did.
    """
    _make_folder(target.parent)
    clock = _Patience(patience)
    reasons = []
    for index, url in enumerate(urls):
        try:
            _from_mirror(url, _part(target), verify, max_bytes, clock, len(urls) - index)
            _part(target).replace(target)
        except _MirrorError as error:
            reasons.append(f"{urlsplit(url).netloc}: {error}")
            continue
        except OSError as error:
            raise DownloadError(f"{target.name}: cannot write to {target.parent}: {error}") from error
        return target
    raise DownloadError(f"{target.name} could not be downloaded ({'; '.join(reasons)})")


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"cannot make the folder {folder}: {error.strerror or error}") from None


def _from_mirror(
    url: str, part: Path, verify: Callable[[Path], None], max_bytes: int, clock: _Patience, mirrors_left: int
) -> None:
    """Bring `part` to its full length, verified."""
    for attempt in range(_RETRIES + 1):
        before = _size(part)
        try:
            _transfer(url, part, max_bytes, clock, clock.left() / mirrors_left)
        except _MirrorError as error:
            progressed = _size(part) > before
            if progressed:
                clock.refresh()
            if not error.again or attempt == _RETRIES or not progressed:
                raise
            continue
        clock.refresh()
        try:
            verify(part)
        except DataError as error:
            part.unlink()
            # The rest was put after a beginning that may have come from another mirror's packing of the file.
            if before:
                continue
            raise _MirrorError(str(error)) from None
        return
    raise _MirrorError("the transfer broke off again and again")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _transfer(url: str, part: Path, max_bytes: int, clock: _Patience, first_wait: float) -> None:
    """Bring `part` to its full length with one request."""
    have = _size(part)
    transfer = _Transfer(url, have, clock.seconds)
    transfer.start()
    try:
        try:
            head = transfer.next(first_wait)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                # Nothing follows what is here: complete, or not what the mirror has. Verifying tells.
                return
            raise _MirrorError(f"HTTP {error.code} {error.reason}") from None
        if not isinstance(head, _Head):
            raise _MirrorError("no answer")
        if head.status != 206 or head.first != have:
            have = 0
        _receive(transfer, head, part, have, max_bytes, clock)
    except _MirrorError:
        raise
    except urllib.error.URLError as error:
        raise _MirrorError("no answer" if isinstance(error.reason, TimeoutError) else str(error.reason)) from None
    except TimeoutError:
        raise _MirrorError("no answer") from None
    except _WriteError as error:
        raise error.cause from None
    except Exception as error:
        raise _MirrorError(f"the connection broke ({str(error) or type(error).__name__})", again=True) from None
    finally:
        transfer.abandoned.set()


class _WriteError(Exception):
    """The disk, not the network, failed."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _receive(transfer: _Transfer, head: _Head, part: Path, have: int, max_bytes: int, clock: _Patience) -> None:
    block = _block(transfer, clock)
    if have == 0:
        _refuse_web_page(head, block)
    try:
        stream = part.open("r+b" if have else "wb")
    except OSError as error:
        raise _WriteError(error) from None
    got = 0
    with stream:
        stream.seek(have)
        stream.truncate()
        while block:
            got += len(block)
            if have + got > max_bytes:
                break
            try:
                stream.write(block)
            except OSError as error:
                raise _WriteError(error) from None
            block = _block(transfer, clock)
    if have + got > max_bytes:
        part.unlink()
        raise _MirrorError(f"sends more than the {max_bytes:,} bytes the file can have")
    if head.length is not None and got < head.length:
        raise _MirrorError(f"the connection broke after {have + got:,} of {have + head.length:,} bytes", again=True)


def _block(transfer: _Transfer, clock: _Patience) -> bytes:
    block = transfer.next(clock.left())
    if isinstance(block, _Head):
        raise _MirrorError("answered twice")
    clock.count(len(block))
    return block


def _refuse_web_page(head: _Head, block: bytes) -> None:
    """Hotel networks and vanished mirrors answer with a page that says so, under status 200."""
    start = block[:4096].lstrip().lower()
    if not start.startswith((b"<!doctype html", b"<html", b"<head")) and head.content_type != "text/html":
        return
    title = re.search(rb"<title[^>]*>(.*?)</title>", block[:4096], re.IGNORECASE | re.DOTALL)
    about = f" titled {title.group(1).decode('utf-8', 'replace').strip()[:60]!r}" if title else ""
    raise _MirrorError(f"answered with a web page{about} instead of the file")


def _open(url: str, start: int, timeout: float):  # type: ignore[no-untyped-def]
    if urlsplit(url).scheme not in ("http", "https"):
        raise _MirrorError(f"not an http or https address: {url}")
    headers = {"User-Agent": "minicnn", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme is checked above)
    return urllib.request.urlopen(request, timeout=timeout)  # noqa: S310


def _head(response) -> _Head:  # type: ignore[no-untyped-def]
    headers = response.headers
    span = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    length = headers.get("Content-Length", "")
    return _Head(
        status=response.status,
        content_type=headers.get_content_type(),
        length=int(length) if length.isdigit() else None,
        first=int(span.group(1)) if span else 0,
    )
