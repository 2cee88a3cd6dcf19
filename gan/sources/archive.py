"""A zip or tar (plain, gzip, xz, bzip2, Zstandard) of pictures, read member by member; nothing is unpacked to disk.

A labels file names the classes, or else the first level of sub-folders, below the one folder that holds all, if one does.
Folders that are published parts (train, val, test) are no classes: `_splits` tells them by their names.
"""

import bz2
import functools
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import pydantic

from .. import choices
from . import _inputs, _labels, _splits

_MAGIC = {
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip

_LONGEST_NAME = 1024
_LONGEST_HEADER = 1 << 20  # bytes of a tar's extended header, which tarfile reads at once
_MOST_EXPANSION = 200  # bytes read for one stored: pictures are packed already, and even empty bitmaps are small
_SLACK = 128 << 10  # bytes a decompressor may have read ahead, and that any member may take
_STEP = 1 << 20
_SMALL_STEP = 4 << 10  # for the methods of which zipfile expands at once whatever it is asked for
_MOST_EMPTY_READS = 8
_DEEPEST = 8  # folders within folders that may be published parts
_REST = 16 << 20  # bytes looked at after a tar's end mark; real ones fill at most a few blocks


class Config(choices.Config):
    """How to read the labels file, if there is one, and the folders, and how much to read at most."""

    label: str | None = None  # the column that names the classes, where there are several; "": no classes
    splits: bool | None = None  # whether folders called train, val, test are published parts; None: by the names beside them
    max_member_mb: pydantic.PositiveFloat = 256
    max_members: pydantic.PositiveInt = 10_000_000
    max_total_gb: pydantic.PositiveFloat = 1000  # of all members, unpacked


@dataclass(frozen=True)
class _Member:
    """What is no folder, as the archive gives it."""

    name: str
    num_bytes: int  # as declared
    read: Callable[[int], bytes | _inputs.Refusal]  # at most so many bytes; before the next member is asked for
    reason: str = ""  # not to read it


class _Damage(Exception):
    """From here on the archive cannot be read."""


def recognises(path: Path) -> bool:
    """By the first bytes, and, since gzip and the like pack other things too, by a tar's first header."""
    if not path.is_file():
        return False
    kind = _kind(path)
    unreadable = kind == "zstd" and _zstandard() is None  # `blocks` tells what to install
    return kind == "zip" or unreadable or _starts_as_tar(path, kind)


def blocks(config: Config, path: Path) -> Iterator[_inputs.Pictures]:
    """Every member in the order of the archive, and what damage ends it. ValueError: a limit, or a malformed labels file."""
    if not path.is_file():  # a pipe would hang whoever opens it
        raise ValueError(f"{path} is no regular file; name a zip or a tar")
    top, classes = _survey(config, path)
    limit, damage, gatherer = int(config.max_member_mb * 1e6), "", _inputs.Gatherer()
    seen: set[str] = set()
    try:
        for position, member in enumerate(_members(path, limit)):
            name, unsafe = _tidy(member.name).removeprefix(top), _unsafe(member.name)
            if not unsafe and (name in classes.files or not _inputs.is_data(name)):
                continue
            reason = unsafe or _reason_against(member, limit)
            reason = reason or ("has the name of an earlier one" if name in seen else "")
            name = _unique(name, position, seen)
            content = _inputs.Refusal(reason, member.num_bytes) if reason else member.read(limit)
            class_name, part = (None, None) if unsafe else classes.of(name)
            yield from gatherer.add(name, class_name, content, part)
    except _Damage as error:
        damage = str(error)
    for listed in classes.missing():
        yield from gatherer.add(*listed)
    if damage:
        yield from gatherer.add(_unique(f"{_tidy(path.name)}#damaged", 0, seen), None, _inputs.Refusal(damage))
    yield from gatherer.rest()


def _survey(config: Config, path: Path) -> tuple[str, _labels.Classes]:
    """The folder that holds all members ("top/", or nothing) and their classes, by a first pass over the names."""
    limit, count, total = int(config.max_member_mb * 1e6), 0, 0
    top: str | None = None
    tables: dict[str, bytes] = {}
    folders: dict[str, set[str]] = {}
    try:
        for member in _members(path, limit):
            count, total = count + 1, total + (max(member.num_bytes, 0) if not _reason_against(member, limit) else 0)
            _check(config, path, count, total)
            name = _tidy(member.name)
            if _unsafe(member.name) or _inputs.is_data(name):
                folder = name.partition("/")[0] + "/" if "/" in name else ""
                top = folder if top in (None, folder) else ""
                _note_folders(folders, name if not _unsafe(member.name) else "")
            if name.removeprefix(top or "") in _labels.FILES and not _unsafe(member.name):
                tables[name] = _table(member, path, limit)
    except _Damage:
        pass  # `blocks` tells
    top = top or ""
    layout = _splits.find(lambda place: sorted(folders.get(top + place, ())), str(path), config.splits)
    if top and not layout.folders and config.splits is not False:
        layout = _splits.whole(top)
    if not any(name.removeprefix(top) in _labels.FILES for name in tables):
        tables |= _tables_of_parts(path, limit, {top + folder + file for folder in layout.parts for file in _labels.FILES})
    return top, _labels.find(lambda file: tables.get(top + file), str(path), config.label, layout)


def _note_folders(folders: dict[str, set[str]], name: str) -> None:
    """Add the folders that a member lies in: each under the one that holds it."""
    place = ""
    for folder in name.split("/")[:-1][:_DEEPEST]:
        folders.setdefault(place, set()).add(folder)
        place += f"{folder}/"


def _tables_of_parts(path: Path, limit: int, wanted: set[str]) -> dict[str, bytes]:
    """The labels files that lie in folders which are published parts, by a pass of its own where there are such folders."""
    tables = {}
    try:
        for member in _members(path, limit) if wanted else ():
            if (name := _tidy(member.name)) in wanted and not _unsafe(member.name):
                tables[name] = _table(member, path, limit)
    except _Damage:
        pass  # `blocks` tells
    return tables


def _check(config: Config, path: Path, count: int, total: int) -> None:
    if count > config.max_members:
        raise ValueError(f"{path} has more than {config.max_members:,} members; raise max_members if you trust it")
    if total > config.max_total_gb * 1e9:
        raise ValueError(f"{path} unpacks to more than {config.max_total_gb:g} GB; raise max_total_gb if you trust it")


def _table(member: _Member, path: Path, limit: int) -> bytes:
    """A labels file; without it all classes would be wrong, so that here an error is one of the whole archive."""
    reason = _reason_against(member, limit)
    content = _inputs.Refusal(reason) if reason else member.read(limit)
    if isinstance(content, _inputs.Refusal):
        raise ValueError(f"{path}: {member.name} {content.reason}; mend it, or take it out of the archive")
    return content


# ---- names


def _tidy(name: str) -> str:
    """./a//b -> a/b, as it can be written."""
    return _inputs.well_formed("/".join(part for part in name.split("/") if part not in ("", ".")))


def _unsafe(name: str) -> str:
    """Why a name is not to be trusted."""
    if len(name) > _LONGEST_NAME:
        return f"has a name longer than {_LONGEST_NAME} characters"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path as its name"
    if ".." in name.split("/"):
        return "has a name that leads outside of the archive (..)"
    if "\0" in name:
        return "has a NUL character in its name, where other programs would cut it"
    if "\\" in name:
        return "has a backslash in its name; pack it again with forward slashes"
    return "" if _tidy(name) else "has no name"


def _unique(name: str, position: int, seen: set[str]) -> str:
    """The name, cut if it is too long, and with the position of the member behind it if it was there before."""
    name = name[:_LONGEST_NAME]
    while name in seen or not name:
        name += f"#{position}"
    seen.add(name)
    return name


def _reason_against(member: _Member, limit: int) -> str:
    """Why a member is not to be read, whatever its name."""
    return member.reason or _too_large(member.num_bytes, limit)


def _too_large(num_bytes: int, limit: int) -> str:
    return f"has {num_bytes / 1e6:,.1f} MB, more than max_member_mb ({limit / 1e6:,g})" if num_bytes > limit else ""


def _is_bomb(num_bytes: int, stored_bytes: int) -> bool:
    return num_bytes > _MOST_EXPANSION * (stored_bytes + _SLACK)


_BOMB = f"unpacks to more than {_MOST_EXPANSION} times its size, as only a decompression bomb does"

# ---- kinds


def _kind(path: Path) -> str:
    """zip, gzip, xz, bzip2, zstd, or else tar, which has no magic at its start."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError:
        return "tar"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "tar")


def _members(path: Path, limit: int) -> Iterator[_Member]:
    """In order; _Damage where they cannot be read any further."""
    kind = _kind(path)
    return _zip(path, limit) if kind == "zip" else _tar(path, kind)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def _expanded(file: BinaryIO, kind: str) -> Any:
    """A file that reads what is packed in another."""
    if kind == "zstd":
        zstandard = _zstandard()
        if zstandard is None:
            raise ValueError(f"{file.name} is packed by Zstandard, whose reader is missing: pip install 'ganline[zstd]'")
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
    openers: dict[str, Callable[[BinaryIO], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
    return openers[kind](file)


def _reason(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip(" .") or type(error).__name__


# ---- tar


class _Header(tarfile.TarInfo):
    """Tells a damaged header from the end, which tarfile takes for the same, and reads no header into a full memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        extended = header.type not in tarfile.SUPPORTED_TYPES or header.type in (b"x", b"g", b"X", b"L", b"K")
        if header.size < 0 or (extended and header.size > _LONGEST_HEADER):
            raise tarfile.ReadError(f"a header claims {header.size:,} bytes")
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # there since Python 3.0, and in no stub
            raise
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]  # as well
            raise tarfile.ReadError("the end mark is missing") from error
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


class _Prompt:
    """A file for tarfile that hands over what it has, so that nothing is lost when the next bytes turn out damaged.

    tarfile would skip a petabyte that a header claims by as many reads behind the end as it takes; here a few are enough.
    """

    def __init__(self, file: Any):
        self._file, self._num_empty = file, 0

    def read(self, size: int) -> bytes:
        part = self._file.read1(size)
        self._num_empty = 0 if part else self._num_empty + 1
        if self._num_empty > _MOST_EMPTY_READS:
            raise EOFError("it ends within a member")
        return part


def _starts_as_tar(path: Path, kind: str) -> bool:
    try:
        with path.open("rb") as file:
            block = (file if kind == "tar" else _expanded(file, kind)).read(tarfile.BLOCKSIZE)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except Exception:  # whatever a decompressor raises at bytes that are none of its own
        return False
    return True


def _tar(path: Path, kind: str) -> Iterator[_Member]:
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        stream = file if kind == "tar" else stack.enter_context(_expanded(file, kind))
        count, last = 0, -1

        def attempt(action: Callable[[], Any]) -> Any:
            try:
                return action()
            except Exception as error:  # tarfile and five decompressors raise a dozen kinds at damaged bytes
                raise _Damage(f"is cut off or damaged behind {count:,} readable members: {_reason(error)}") from error

        def opened() -> tarfile.TarFile:
            if kind == "tar":
                return tarfile.open(fileobj=file, mode="r:", tarinfo=_Header, encoding="utf-8", errors="surrogateescape")
            prompt = cast(BinaryIO, _Prompt(stream))  # of a stream tarfile calls nothing but `read`
            return tarfile.open(fileobj=prompt, mode="r|", tarinfo=_Header, encoding="utf-8", errors="surrogateescape")

        tar = attempt(opened)
        while (header := attempt(tar.next)) is not None:
            tar.members = []
            if header.offset <= last:
                raise _Damage(f"is damaged behind {count:,} readable members: a header points backwards")
            last = header.offset
            if not header.isdir():

                def read(limit: int, header: tarfile.TarInfo = header) -> bytes | _inputs.Refusal:
                    start = file.tell()
                    content = attempt(lambda: _whole(tar.extractfile(header), header.size))
                    bomb = kind != "tar" and _is_bomb(len(content), file.tell() - start)
                    return _inputs.Refusal(_BOMB, len(content)) if bomb else content

                yield _Member(header.name, header.size, read, _not_regular(header))
                count += 1
        attempt(lambda: _drain(tar.fileobj))


def _whole(file: Any, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError(f"a member has {len(content):,} of its {size:,} bytes")
    return content


def _drain(stream: Any) -> None:
    """Read what follows the end mark: the decompressor's checksum, padding, or what should not be there."""
    for _ in range(0, _REST, _STEP):
        rest = stream.read(_STEP)
        if not rest:
            return
        if rest.strip(b"\0"):
            raise ValueError("there are bytes after the end mark")


def _not_regular(header: tarfile.TarInfo) -> str:
    if header.issym() or header.islnk():
        return "is a link"
    if header.issparse():
        return "is a sparse file; pack it as a plain one"
    return "" if header.isreg() else "is no regular file"


# ---- zip

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def _zip(path: Path, limit: int) -> Iterator[_Member]:
    with path.open("rb") as file:
        try:
            archive = _opened_zip(file)
        except Exception as error:  # zipfile raises half a dozen kinds at damaged bytes
            file.seek(0)
            yield from _salvaged(file, limit)
            raise _Damage(f"is cut off or damaged, and was read up to there: {_reason(error)}") from error
        for info in archive.infolist():
            if not (name := _slashed(info.orig_filename)).endswith("/"):  # the other is cut at a NUL
                read = functools.partial(_zip_content, archive, info)
                yield _Member(name, info.file_size, read, _not_plain(info))


def _opened_zip(file: BinaryIO) -> zipfile.ZipFile:
    """An error if the directory has not as many members as it says, or if they do not lie one behind the other: it is
    damaged, or is that of a bomb that reads the same bytes over and over.
    """
    try:
        archive = zipfile.ZipFile(file, metadata_encoding="utf-8")  # as most programs write without saying so
    except UnicodeDecodeError:
        archive = zipfile.ZipFile(file)
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    end = file.read()
    count, said = len(archive.infolist()), struct.unpack_from("<H", end, end.rfind(_END) + 10)[0]
    if said not in (count % (1 << 16), 0xFFFF):  # that: a 64-bit count stands elsewhere
        raise ValueError(f"its directory has {count:,} of {said:,} members")
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if infos and infos[0].header_offset != 0:
        raise ValueError("its directory does not fit what stands before it")
    for info, start_of_next in zip(infos, [*(info.header_offset for info in infos[1:]), size]):
        if info.header_offset + 30 + info.compress_size > start_of_next:
            raise ValueError(f"its directory has {info.filename!r:.99} overlap another member")
    return archive


def _slashed(name: str) -> str:
    """A zip's names have forward slashes, whatever packers on Windows write (APPNOTE.TXT 4.4.17.1)."""
    return name.replace("\\", "/")


def _not_plain(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG):
        return "is no regular file"
    if info.flag_bits & 1:
        return "is encrypted; pack it without a password"
    return _BOMB if _is_bomb(info.file_size, info.compress_size) else ""


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes | _inputs.Refusal:
    step = _STEP if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else _SMALL_STEP
    parts, size = [], 0
    try:
        with archive.open(info) as file:
            while size <= limit and (part := file.read(min(step, limit + 1 - size))):
                parts.append(part)
                size += len(part)
    except Exception as error:  # zipfile and four decompressors raise a dozen kinds at damaged bytes
        return _inputs.Refusal(f"cannot be read: {_reason(error)}", info.file_size)
    if size != info.file_size:
        return _inputs.Refusal(f"has {size:,} bytes and not {info.file_size:,} as declared", size)
    return b"".join(parts)


def _salvaged(file: BinaryIO, limit: int) -> Iterator[_Member]:
    """Members of a zip whose directory, at its end, is lost: from the front, as far as they are whole."""
    while (header := file.read(30))[:4] == _LOCAL and len(header) == 30:
        flags, method, checksum, stored, size, name_length, extra_length = struct.unpack("<6xHH4xIIIHH", header)
        name, extra = file.read(name_length), file.read(extra_length)
        if stored == 0xFFFFFFFF and extra[:2] == b"\1\0" and len(extra) >= 20:
            size, stored = struct.unpack_from("<QQ", extra, 4)  # 64-bit sizes
        start, described = file.tell(), bool(flags & 8)  # described: sizes and checksum stand behind the content
        try:
            content = _salvaged_content(file, -1 if flags & 1 else method, stored, limit)
        except (zlib.error, EOFError):
            return
        if not described:
            file.seek(start + stored)
        elif method == zipfile.ZIP_DEFLATED:
            checksum = _described(file)
        else:
            return
        if isinstance(content, bytes) and checksum not in (None, zlib.crc32(content)):
            content = _inputs.Refusal("cannot be read: its checksum is wrong", len(content))
        text = _slashed(_decoded(name))
        if not text.endswith("/"):

            def read(limit: int, content: bytes | _inputs.Refusal = content) -> bytes | _inputs.Refusal:
                return content

            yield _Member(text, size, read)


def _salvaged_content(file: BinaryIO, method: int, stored: int, limit: int) -> bytes | _inputs.Refusal:
    if method == zipfile.ZIP_DEFLATED:
        return _inflated(file, limit)
    if method != zipfile.ZIP_STORED:
        return _inputs.Refusal("is encrypted or packed in a rare way, which is not read without the directory of the archive")
    if reason := _too_large(stored, limit):
        return _inputs.Refusal(reason, stored)
    return _whole(file, stored)


def _inflated(file: BinaryIO, limit: int) -> bytes | _inputs.Refusal:
    """A deflated stream, the file then standing behind it."""
    inflate, parts, size, start = zlib.decompressobj(-15), [], 0, file.tell()
    while not inflate.eof:
        packed = inflate.unconsumed_tail or file.read(1 << 16)
        if not packed:
            raise EOFError
        part = inflate.decompress(packed, _STEP)
        size += len(part)
        if size <= limit:
            parts.append(part)
    file.seek(-len(inflate.unused_data), 1)
    reason = _too_large(size, limit) or (_BOMB if _is_bomb(size, file.tell() - start) else "")
    return _inputs.Refusal(reason, size) if reason else b"".join(parts)


def _described(file: BinaryIO) -> int | None:
    """The checksum in the record behind a content, which has four forms; the file then stands at the next header."""
    start = file.tell()
    record = file.read(28)
    length = next((length for length in (12, 16, 20, 24) if record[length : length + 4] in (_LOCAL, _CENTRAL)), None)
    file.seek(start + (length or len(record)))
    return struct.unpack_from("<I", record, 4 if record.startswith(b"PK\x07\x08") else 0)[0] if length else None


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")
