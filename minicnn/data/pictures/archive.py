"""Zip archives that nobody vouches for, read in place: nothing is unpacked to disk, whatever a member is called.

What is hostile in an archive costs one error or one line of `Archive.skipped`, and never more memory than the limits
below allow: directories without end, members that claim to be huge or unpack to more than they claim, names that lead
elsewhere, links, encryption, methods that may demand gigabytes, archives in the archive.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath

from minicnn.data.errors import DataError, PictureError

MAX_FILE = 64 << 20
"""Bytes that a member may have, packed or unpacked: larger ones are left out."""
MAX_MEMBERS = 500_000
"""Members that an archive may have."""
MAX_DIRECTORY = 32 << 20
"""Bytes that an archive's directory may have, which is read as a whole and takes some six times as much in memory."""

# LZMA is left out on purpose: a member can demand gigabytes for its dictionary.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


class Archive:
    """A zip archive's files by name; it stays open until `close` or its own end; several threads may read at once.

    Args:
        path: of the archive, which is recognised by its content.

    Attributes:
        names: of the files that can be read, with ``/`` between folders, sorted.
        skipped: (name, reason) for each that cannot, sorted. Folders are not listed.

    Raises:
        DataError: there is no such file, it is no zip archive, is damaged, or has more in it than the limits allow.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{path}: {'no file' if self.path.exists() else 'no such file'}")
        try:
            # Not by its path: it is read through a file that bounds what zipfile can ask for.
            self._file = _BoundedFile(self.path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._members, self.skipped = self._sorted_out(self._zip.infolist())
        except DataError:
            self.close()
            raise
        except Exception as error:
            # Damaged directories make zipfile raise nearly every kind of exception there is.
            self.close()
            raise DataError(f"{path}: no zip archive, or one that is damaged or cut short ({error})") from None
        self.names = sorted(self._members)

    def read(self, name: str) -> bytes:
        """The content of one of `names`.

        Raises:
            PictureError: it is damaged, or not as long as the directory says.
        """
        member = self._members[name]
        try:
            with self._zip.open(member) as stream:
                # Asking for so many bytes keeps a member that unpacks to more than it claims from filling the memory.
                content = stream.read(member.file_size + 1)
        except Exception as error:
            raise PictureError(f"{self.path.name}/{name}: damaged in the archive ({error})") from None
        if len(content) != member.file_size:
            found = f"expected {member.file_size:,} bytes, got {len(content):,}"
            raise PictureError(f"{self.path.name}/{name}: damaged in the archive ({found})")
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __del__(self) -> None:
        # Where nobody closed it: sources share it, and end when the last one of them is gone.
        if hasattr(self, "_file"):
            self.close()

    def _sorted_out(self, members: list[zipfile.ZipInfo]) -> tuple[dict[str, zipfile.ZipInfo], list[tuple[str, str]]]:
        if len(members) > MAX_MEMBERS:
            raise DataError(f"{self.path}: expected at most {MAX_MEMBERS:,} files in the archive, got {len(members):,}")
        readable: dict[str, zipfile.ZipInfo] = {}
        skipped = []
        for member in members:
            # Some packers for Windows write backslashes.
            name = member.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            reason = _why_not(name, member)
            if reason is None and name in readable:
                reason = "the archive has this name twice; the first is used"
            if reason is None:
                readable[name] = member
            else:
                skipped.append((name, reason))
        return readable, sorted(skipped)


class _BoundedFile(io.FileIO):
    """A file of which nobody can ask for more at once than an archive's directory may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise DataError(
                f"{self.name!s}: expected a directory of at most {MAX_DIRECTORY:,} bytes in the archive, got {size:,}"
            )
        return super().read(size)


def _why_not(name: str, member: zipfile.ZipInfo) -> str | None:
    """Why a member is not read; None where it can be."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, not a file"
    if member.flag_bits & 0x1:
        return "encrypted"
    if path.suffix.lower() in _ARCHIVES:
        return "an archive in the archive, which is not looked into"
    if member.compress_type not in _METHODS:
        return f"packed by a method that is not read here (number {member.compress_type})"
    size = max(member.file_size, member.compress_size)
    if size > MAX_FILE:
        return f"too large: expected at most {MAX_FILE:,} bytes, got {size:,}"
    return "empty" if size == 0 else None
