"""Archives, labels files, remote folders and the choice of a source: nothing is lost, nothing leads outside."""

import bz2
import functools
import gzip
import http.server
import io
import json
import lzma
import os
import random
import stat
import struct
import sys
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import fsspec
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pyarrow_parquet

from gan.sources import _detect, _inputs, _remote, archive, folder

zstandard = pytest.importorskip("zstandard")

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("GANLINE_DATA", ROOT.parent / "shared" / "data"))

PACKERS = {
    "tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress, "tar.bz2": bz2.compress, "tar.zst": zstandard.compress,
}  # fmt: skip
EXPANDERS = {
    "tar.gz": lambda: zlib.decompressobj(31),
    "tar.xz": lzma.LZMADecompressor,
    "tar.bz2": bz2.BZ2Decompressor,
    "tar.zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
KINDS = ["zip", "zip-deflated", "zip-streamed", *PACKERS]

FILES = {
    "cats/1.png": b"first cat",
    "cats/with space.png": b"second cat" * 50,
    "dogs/two\nlines.png": random.Random(1).randbytes(3000),
    "dogs/sub/犬 пёс كلب.png": random.Random(2).randbytes(70_000),
    "top.png": b"",
}


class Unseekable(io.BytesIO):
    """As a pipe: zipfile then writes sizes and checksums behind the contents."""

    def seekable(self):
        return False

    def seek(self, *args):
        raise io.UnsupportedOperation

    def tell(self):
        raise io.UnsupportedOperation


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    buffer = Unseekable() if kind == "zip-streamed" else io.BytesIO()
    if kind.startswith("zip"):
        method = zipfile.ZIP_STORED if kind == "zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(buffer, "w", method) as out:
            for name, content in files.items():
                out.writestr(name, content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            out.addfile(header, io.BytesIO(content))
    return PACKERS[kind](buffer.getvalue())


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def inputs(path: Path, **config) -> dict[str, tuple[str | None, bytes | Path | _inputs.Refusal]]:
    """Name -> class and content; names are unique, or they would be lost here."""
    source = archive if path.is_file() else folder
    found = [
        entry
        for block in source.blocks(source.Config(**config), path)
        for entry in zip(block.names, block.classes, block.contents, strict=True)
    ]
    assert len({name for name, _, _ in found}) == len(found)
    return {name: (class_name, content) for name, class_name, content in found}


def contents(path: Path, **config) -> dict[str, bytes]:
    return {name: content for name, (_, content) in inputs(path, **config).items() if isinstance(content, bytes)}


def reasons(path: Path, **config) -> dict[str, str]:
    found = inputs(path, **config).items()
    return {name: content.reason for name, (_, content) in found if isinstance(content, _inputs.Refusal)}


def classes(path: Path, **config) -> dict[str, str | None]:
    return {name: class_name for name, (class_name, _) in inputs(path, **config).items()}


# ---- what is in them


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_hands_over_every_byte_and_is_recognised_under_any_name(kind, tmp_path):
    path = write(tmp_path / "data.jpg", packed(kind, FILES))
    assert archive.recognises(path)
    assert contents(path) == FILES
    assert reasons(path) == {}
    assert classes(path) == {name: name.partition("/")[0] if "/" in name else None for name in FILES}
    assert inputs(path) == inputs(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_holds_all_members_is_no_class(kind, tmp_path):
    inside = {f"data set/{name}": content for name, content in FILES.items()} | {"__MACOSX/data set/._1.png": b"x"}
    path = write(tmp_path / "a", packed(kind, inside))
    assert contents(path) == FILES
    assert classes(path)["cats/1.png"] == "cats"


def test_names_are_tidied_and_what_systems_add_is_passed_over(tmp_path):
    files = {"./a/1.png": b"1", "b//2.png": b"2", "a/.DS_Store": b"", "a/._1.png": b"", ".git/x.png": b"", "b/Thumbs.db": b""}
    path = write(tmp_path / "a", packed("tar", files))
    assert contents(path) == {"a/1.png": b"1", "b/2.png": b"2"}
    for name, content in files.items():
        write(tmp_path / "folder" / name, content)
    assert set(inputs(tmp_path / "folder")) == {"a/1.png", "b/2.png"}


def test_utf8_names_in_a_zip_that_does_not_say_so_are_read_as_utf8(tmp_path):
    content = packed("zip", {"ääää.png": b"x"})
    assert content.count(struct.pack("<H", 0x800)) == 2
    path = write(tmp_path / "a", content.replace(struct.pack("<H", 0x800), b"\0\0"))
    assert contents(path) == {"ääää.png": b"x"}


def test_names_that_are_no_utf8_are_read_and_can_be_written_as_utf8(tmp_path):
    path = write(tmp_path / "a", packed("tar", {"xyz.png": b"x"}))
    damaged = bytearray(path.read_bytes())
    damaged[1] = 0xFF
    header = bytes(damaged[:148]) + b" " * 8 + bytes(damaged[156:512])
    damaged[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(damaged)
    assert contents(path) == {"x\\udcffz.png": b"x"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst"])
def test_memory_stays_flat_in_the_number_of_members_of_a_tar(kind, tmp_path):
    path = write(tmp_path / "a", packed(kind, {f"{number}.png": bytes(2000) for number in range(3000)}))
    tracemalloc.start()
    count = sum(len(block.names) for block in archive.blocks(archive.Config(), path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3000
    assert peak < 2.5e6, "3000 tar headers of a kilobyte each would take more"


def test_a_pictures_gzip_is_no_archive_but_a_tar_of_the_oldest_format_is(tmp_path):
    assert not archive.recognises(write(tmp_path / "a.tar.gz", gzip.compress(b"\x89PNG" * 500)))
    assert not archive.recognises(write(tmp_path / "b.tar", b"x" * 2000))
    assert not archive.recognises(write(tmp_path / "c.zip", b""))
    assert not archive.recognises(tmp_path)
    old = bytearray(packed("tar", {"1.png": b"x"}))
    old[257:265] = bytes(8)
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 8 * 32 + sum(old[156:512]))
    assert contents(write(tmp_path / "d", bytes(old))) == {"1.png": b"x"}
    assert archive.recognises(tmp_path / "d")


def test_zstandard_that_is_missing_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a", packed("tar.zst", FILES))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert archive.recognises(path)
    with pytest.raises(ValueError, match=r"pip install 'ganline\[zstd\]'"):
        inputs(path)


# ---- what is refused

UNSAFE = {
    "../up.png": "leads outside", "a/../../up.png": "leads outside", "/etc/passwd": "absolute", "C:/x.png": "absolute",
    "a\\..\\..\\up.png": "has a", "n" * 1025: "longer than 1024", ".": "no name",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_outside_are_refused_in_words_and_the_others_read(kind, name, tmp_path):
    path = write(tmp_path / "a", packed(kind, {"1.png": b"1", name: b"evil", "2.png": b"2"}))
    assert contents(path) == {"1.png": b"1", "2.png": b"2"}
    assert [reason for reason in reasons(path).values() if UNSAFE[name] in reason]
    assert len(reasons(path)) == 1 and max(map(len, reasons(path))) <= 1100
    assert set(classes(path).values()) == {None}


def test_a_name_with_a_nul_is_refused_and_not_cut(tmp_path):
    """zipfile and tarfile write none: one is patched into the zip, and one stands in a tar's extended header."""
    zipped = packed("zip", {"1.png": b"1", "a.png_b.jpg": b"evil", "2.png": b"2"}).replace(b"a.png_b.jpg", b"a.png\0b.jpg")
    with tarfile.open(fileobj=(tarred := io.BytesIO()), mode="w", format=tarfile.PAX_FORMAT) as out:
        for name, content in (("1.png", b"1"), ("a.png\0b.jpg" + "é", b"evil"), ("2.png", b"2")):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            out.addfile(header, io.BytesIO(content))
    for content in (zipped, zipped[: zipped.index(b"PK\1\2")], tarred.getvalue()):
        path = write(tmp_path / "a", content)
        assert contents(path) == {"1.png": b"1", "2.png": b"2"}
        assert [name for name, reason in reasons(path).items() if "NUL" in reason and name.startswith("a.png\0b.jpg")]


def test_what_a_member_claims_to_hold_refuses_it_and_not_the_archive(tmp_path):
    """A zip's directory claims an exabyte of one of its members."""
    content = packed("zip", {"1.png": b"1", "huge.png": b"huge", "2.png": b"2"})
    start = content.index(b"huge.png", content.index(b"PK\1\2")) - 46
    extra = struct.pack("<HHQ", 1, 8, 2**63 + 1)
    entry = bytearray(content[start : start + 46 + 8])
    entry[24:28], entry[30:32] = b"\xff" * 4, struct.pack("<H", len(extra))
    content = content[:start] + entry + extra + content[start + 54 :]
    end = content.index(b"PK\5\6")
    size = struct.unpack_from("<I", content, end + 12)[0] + len(extra)
    path = write(tmp_path / "a", content[: end + 12] + struct.pack("<I", size) + content[end + 16 :])
    assert contents(path) == {"1.png": b"1", "2.png": b"2"}
    assert "decompression bomb" in reasons(path)["huge.png"]


@pytest.mark.parametrize("damage", [False, True])
def test_backslashes_in_a_zip_are_those_of_windows(damage, tmp_path):
    content = packed("zip", {"a\\": b"", "a\\1.png": b"1", "a\\b\\2.png": b"2", "c\\3.png": b"3"})
    path = write(tmp_path / "a", content[:-10] if damage else content)
    assert classes(path) == {"a/1.png": "a", "a/b/2.png": "a", "c/3.png": "c"} | ({"a#damaged": None} if damage else {})
    write(path, packed("tar", {"a\\1.png": b"1"}))
    assert reasons(path) == {"a\\1.png": "has a backslash in its name; pack it again with forward slashes"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_links_devices_and_pipes_in_a_tar_are_refused(kind, tmp_path):
    with tarfile.open(tmp_path / "a", "w") as out:
        header = tarfile.TarInfo("odd.png")
        header.type, header.linkname = kind, "/etc/passwd"
        out.addfile(header)
        out.addfile(tarfile.TarInfo("good.png"))
    assert contents(tmp_path / "a") == {"good.png": b""}
    assert reasons(tmp_path / "a") == {"odd.png": "is a link" if kind in b"12" else "is no regular file"}


@pytest.mark.parametrize("mode, word", [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "regular"), (stat.S_IFCHR, "regular")])
def test_links_and_devices_in_a_zip_are_refused(mode, word, tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as out:
        info = zipfile.ZipInfo("odd.png")
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        out.writestr(info, "/etc/passwd")
        out.writestr("good.png", b"x")
    assert contents(tmp_path / "a") == {"good.png": b"x"}
    assert word in reasons(tmp_path / "a")["odd.png"]


def test_encrypted_and_oddly_packed_members_of_a_zip_are_refused(tmp_path):
    content = packed("zip", {"1.png": b"1"})
    central = content.index(b"PK\x01\x02")
    for offset, value, word in [(8, 1, "encrypted"), (10, 99, "not supported")]:
        odd = bytearray(content)
        odd[central + offset] = value
        assert word in reasons(write(tmp_path / "a", bytes(odd)))["1.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_of_members_of_one_name_the_first_is_read_and_each_later_one_refused(kind, tmp_path):
    files = {"a.png": b"first", "./a.png": b"second", ".//a.png": b"third"}
    path = write(tmp_path / "a", packed(kind, files))
    assert contents(path) == {"a.png": b"first"}
    assert reasons(path) == dict.fromkeys(["a.png#1", "a.png#2"], "has the name of an earlier one")


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_over_the_limit_is_refused_and_one_at_the_limit_is_read(kind, tmp_path):
    files = {"at.png": random.Random(0).randbytes(1000), "over.png": random.Random(0).randbytes(1001), "z.png": b"z"}
    path = write(tmp_path / "a", packed(kind, files))
    assert set(contents(path, max_member_mb=0.001)) == {"at.png", "z.png"}
    assert "max_member_mb" in reasons(path, max_member_mb=0.001)["over.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_members_or_bytes_are_a_sentence_with_the_limit(kind, tmp_path):
    path = write(tmp_path / "a", packed(kind, FILES))
    with pytest.raises(ValueError, match="more than 4 members; raise max_members"):
        inputs(path, max_members=4)
    with pytest.raises(ValueError, match="more than 7e-05 GB; raise max_total_gb"):
        inputs(path, max_total_gb=7e-5)
    assert len(inputs(path, max_members=5)) == 5


@pytest.mark.parametrize("kind", ["zip-deflated", "zip-streamed", "tar.gz", "tar.xz", "tar.bz2", "tar.zst"])
def test_a_bomb_is_refused_and_what_stands_behind_it_read(kind, tmp_path):
    path = write(tmp_path / "a", packed(kind, {"bomb.png": bytes(48 << 20), "good.png": b"good"}))
    assert path.stat().st_size < 200_000
    assert contents(path) == {"good.png": b"good"}
    assert "bomb" in reasons(path)["bomb.png"]


def test_a_bomb_that_lies_about_its_size_is_not_expanded_at_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_LZMA) as out:
        out.writestr("bomb.png", bytes(100 << 20))
    content = bytearray((tmp_path / "a").read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 1000)
    tracemalloc.start()
    assert contents(write(tmp_path / "a", bytes(content))) == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70 << 20
    assert "CRC" in reasons(tmp_path / "a")["bomb.png"]


def test_members_of_a_zip_that_share_their_bytes_are_read_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as out:
        out.writestr("1.png", b"x" * 100)
        for info in [zipfile.ZipInfo("1.png") for _ in range(50)]:
            info.CRC, info.file_size, info.compress_size, info.header_offset = out.infolist()[0].CRC, 100, 100, 0
            out.filelist.append(info)
    assert contents(tmp_path / "a") == {"1.png": b"x" * 100}
    assert "overlap" in reasons(tmp_path / "a")["a#damaged"]


def test_a_header_of_a_tar_that_would_fill_the_memory_is_damage(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    path = write(tmp_path / "a", packed("tar", {"1.png": b"1"})[:1024] + header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    assert contents(path) == {"1.png": b"1"}
    assert "8,589,934,592 bytes" in reasons(path)["a#damaged"]


@pytest.mark.parametrize("size", ["-1024", "-1536", "-2048", "-99999999"])
def test_a_tar_that_points_backwards_comes_to_an_end(size, tmp_path):
    with tarfile.open(tmp_path / "a", "w", format=tarfile.PAX_FORMAT) as out:
        out.addfile(tarfile.TarInfo("1.png"))
        header = tarfile.TarInfo("2.png")
        header.pax_headers = {"size": size}
        out.addfile(header)
        out.addfile(tarfile.TarInfo("3.png"))
    assert "1.png" in contents(tmp_path / "a")
    assert "a#damaged" in reasons(tmp_path / "a")


# ---- damage


def ends(kind: str, content: bytes) -> dict[str, int]:
    """Where each member ends: in the archive for a zip, in the tar for the others."""
    if kind.startswith("zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            starts = [info.header_offset for info in opened.infolist()][1:] + [content.index(b"PK\x01\x02")]
            return dict(zip(opened.namelist(), starts))
    plain = EXPANDERS[kind]().decompress(content) if kind in EXPANDERS else content
    with tarfile.open(fileobj=io.BytesIO(plain)) as opened:
        return {header.name: header.offset_data + header.size for header in opened}


def readable(kind: str, content: bytes) -> int:
    """How many bytes of a tar come out of a cut archive."""
    return len(EXPANDERS[kind]().decompress(content)) if kind in EXPANDERS else len(content)


MANY = {f"{number % 3}/{number}.png" if number else "0.png": random.Random(number).randbytes(61 * number) for number in range(30)}


@pytest.mark.parametrize("kind", KINDS)
def test_of_an_archive_cut_anywhere_all_members_before_the_cut_are_read(kind, tmp_path):
    content = packed(kind, MANY)
    end = ends(kind, content)
    for cut in [*range(7, len(content), len(content) // 40), len(content) - 1]:
        part = content[:cut]
        path = write(tmp_path / "cut", part)
        found, last = inputs(path), list(inputs(path))[-1]
        read = {name: value for name, (_, value) in found.items() if isinstance(value, bytes)}
        assert read.items() <= MANY.items()
        assert {name for name in MANY if end[name] <= readable(kind, part)} <= read.keys(), cut
        refused = [name for name, (_, value) in found.items() if isinstance(value, _inputs.Refusal)]
        only_padding_is_cut = kind.startswith("tar") and readable(kind, part) > max(end.values()) + 512
        assert refused == ["cut#damaged"] == [last] or only_padding_is_cut, cut


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_lose_no_member_before_them_and_raise_nothing_but_sentences(kind, tmp_path):
    content = packed(kind, MANY)
    generator = random.Random(kind)
    end = ends(kind, content)
    for _ in range(80):
        offset = generator.choice([generator.randrange(len(content)), len(content) - 1 - generator.randrange(2000)])
        damaged = bytearray(content)
        damaged[offset] ^= 1 << generator.randrange(8)
        path = write(tmp_path / "flipped", bytes(damaged))
        found = contents(path)
        if kind.startswith("zip"):
            assert found.keys() - MANY.keys() == set() or len(found.keys() - MANY.keys()) == 1
            assert all(value in MANY.values() for value in found.values()), "a zip has checksums"
            assert {name for name in MANY if end[name] <= offset} - found.keys() <= renamed(content, offset)
        elif kind == "tar":
            assert {name for name in MANY if end[name] <= offset} <= found.keys()
        elif kind != "tar.zst":
            assert found == MANY or reasons(path), "gzip, xz and bzip2 have checksums"


def renamed(content: bytes, offset: int) -> set[str]:
    """The member whose entry of a zip's directory holds an offset, if one does."""
    start = content.rfind(b"PK\x01\x02", 0, offset + 4)
    if start < 0:
        return set()
    length = struct.unpack_from("<H", content, start + 28)[0]
    return {content[start + 46 : start + 46 + length].decode()}


def test_a_damaged_member_of_a_fine_zip_is_one_refusal(tmp_path):
    content = packed("zip", MANY)
    damaged = content.replace(MANY["2/20.png"], b"x" * len(MANY["2/20.png"]))
    assert damaged != content
    path = write(tmp_path / "a", damaged)
    assert contents(path) == {name: value for name, value in MANY.items() if name != "2/20.png"}
    assert list(reasons(path)) == ["2/20.png"] and "CRC" in reasons(path)["2/20.png"]


def test_a_zip_whose_directory_lost_an_entry_still_gives_every_member(tmp_path):
    content = bytearray(packed("zip", {f"{number}.png": b"x" for number in range(8)}))
    end = content.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", content, end + 12)
    content[end + 12 : end + 20] = struct.pack("<II", size // 2, start + size // 2)
    path = write(tmp_path / "a", bytes(content))
    assert len(zipfile.ZipFile(path).namelist()) == 4
    assert len(contents(path)) == 8 and list(reasons(path)) == ["a#damaged"]


def test_bytes_behind_the_end_of_a_tar_are_told(tmp_path):
    one, two = packed("tar", {"1.png": b"1"}), packed("tar", {"2.png": b"2"})
    assert "after the end mark" in reasons(write(tmp_path / "a", one + two))["a#damaged"]


MAGICS = [b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xfd7zXZ\x00\x00", b"BZh9", b"\x28\xb5\x2f\xfd", b""]


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=1200))
def test_random_bytes_behind_a_magic_are_damage_in_words(random_file, magic, rest):
    path = write(random_file, magic + rest)
    archive.recognises(path)
    assert list(reasons(path)) in (["random#damaged"], []) and contents(path) == {} or magic.startswith(b"PK")


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    return tmp_path_factory.mktemp("random") / "random"


@settings(max_examples=200, deadline=None, database=None)
@given(st.data())
def test_a_tar_or_zip_with_random_patches_raises_nothing_but_sentences(random_file, data):
    kind = data.draw(st.sampled_from(["tar", "zip", "zip-streamed"]))
    content = bytearray(packed(kind, {"a/1.png": b"1" * 600, "b/2.png": b"2" * 600}))
    for _ in range(data.draw(st.integers(1, 4))):
        patch = data.draw(st.binary(min_size=1, max_size=16))
        offset = data.draw(st.integers(0, len(content) - len(patch)))
        content[offset : offset + len(patch)] = patch
    path = write(random_file, bytes(content))
    try:
        inputs(path)
    except ValueError as error:
        assert "max_total_gb" in str(error)


# ---- labels

LABELLED = {"1.png": b"1", "x/2.png": b"2", "ünlisted.png": b"3"}
TABLES = {
    "plain": ("labels.csv", "file_name,label\n1.png,cat\nx/2.png,dog\ngone.png,cat\n"),
    "windows": ("metadata.csv", "\ufefffile;class\r\n1.png;cat\r\nx\\2.png;dog\r\ngone.png;cat\r\n"),
    "excel": ("labels.csv", "sep=;\r\nimage;label\r\n1.png;cat\r\nx\\2.png;dog\r\ngone.png;cat\r\n"),
    "excel's tabs": ("labels.tsv", "SEP=\t\nlabel\tID\ncat\t1.png\ndog\tx/2.png\ncat\tgone.png\n"),
    "last column": ("metadata.csv", "width,species,Img_Path\n5,cat,1.png\n5,dog,x/2.png\n6,cat,gone.png\n"),
    "many columns": ("labels.csv", "id,filename,width,url,class_name\n7,1.png,5,u,cat\n8,x/2.png,5,u,dog\n9,gone.png,6,u,cat\n"),
    "tabs": ("labels.csv", "Label\tPath\ncat\t./1.png\ndog\tx/2.png\ncat\tgone.png"),
    "quoted": ("labels.csv", '"image","target"\n"1.png","cat"\n\n"x/2.png","dog"\n"gone.png","cat"\n'),
    "old mac": ("labels.csv", "filename,label\r1.png,cat\rx/2.png,dog\rgone.png,cat\r"),
    "one other": ("labels.csv", "file_name,species\n1.png,cat\nx/2.png,dog\ngone.png,cat\n"),
    "lines": (
        "metadata.jsonl",
        '{"file_name": "1.png", "label": "cat"}\n\n{"file_name": "x/2.png", "label": "dog"}\r\n{"label": ["cat"], "file_name": "gone.png"}',
    ),
    "stylegan": ("dataset.json", '{"labels": [["1.png", "cat"], ["x/2.png", "dog"], ["gone.png", "cat"]]}'),
}


@pytest.fixture(params=["folder", "zip", "tar.gz", "tar with a top folder"])
def pack(request, tmp_path):
    """Files -> a folder or an archive of them."""

    def made(files: dict[str, bytes]) -> Path:
        if request.param == "folder":
            for name, content in files.items():
                write(tmp_path / "data" / name, content)
            return tmp_path / "data"
        if request.param.endswith("top folder"):
            return write(tmp_path / "data", packed("tar", {f"top/{name}": content for name, content in files.items()}))
        return write(tmp_path / "data", packed(request.param, files))

    return made


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_every_form_of_labels_file_gives_the_classes_and_is_no_input(form, encoding, pack):
    file, text = TABLES[form]
    path = pack({file: text.encode(encoding), **LABELLED})
    assert classes(path) == {"1.png": "cat", "x/2.png": "dog", "ünlisted.png": None, "gone.png": "cat"}
    assert reasons(path) == {"gone.png": f"is listed in {file} and is not there"}


def test_labels_that_are_numbers_or_lists_become_text(pack):
    labels = [3, 3.0, 0.5, True, None, "", ["a", "b"], [1, 2], [], float("nan"), "NaN"]
    lines = [json.dumps({"file_name": f"{number:02}.png", "label": label}) for number, label in enumerate(labels)]
    path = pack({"labels.jsonl": "\n".join(lines).encode(), **{f"{number:02}.png": b"x" for number in range(len(labels))}})
    assert list(dict(sorted(classes(path).items())).values()) == ["3", "3", "0.5", "true", None, None, "a+b", "1+2", None, None, None]


def ordered(path: Path) -> list[str | None]:
    return [class_name for _, class_name in sorted(classes(path).items())]


def test_one_hot_labels_are_the_place_of_the_one_and_other_vectors_are_refused(pack):
    rows = [[0, 0, 1], [1, 0, 0], [0.0, 1.0, 0]]
    pairs = [[f"{number}.png", row] for number, row in enumerate(rows)]
    path = pack({"dataset.json": json.dumps({"labels": pairs}).encode(), **{name: b"x" for name, _ in pairs}})
    assert ordered(path) == ["2", "0", "1"]


@pytest.mark.parametrize("vector", [[0.25, 0.5], [1, 1], [None, 1]])
def test_vectors_in_place_of_labels_are_refused_with_the_way_out(vector, tmp_path):
    pairs = [["0.png", [0, 1]], ["1.png", vector]]
    path = write(tmp_path / "a" / "dataset.json", json.dumps({"labels": pairs}).encode()).parent
    with pytest.raises(
        ValueError, match=r'dataset.json: the labels of "labels" are .* no classes; write {"labels": null}, or set label to ""'
    ):
        inputs(path)
    (path / "dataset.json").rename(path / "labels.jsonl")
    (path / "labels.jsonl").write_text("".join(json.dumps({"file": name, "label": label}) + "\n" for name, label in pairs))
    with pytest.raises(ValueError, match="labels.jsonl: the labels of the column 'label' are .* no classes; set label to another"):
        inputs(path)


def test_a_labels_file_may_be_parquet(pack):
    table = pyarrow.table({"file_name": ["1.png", "x/2.png", "gone.png"], "label": [3.0, None, 4.0], "caption": ["a", "b", "c"]})
    pyarrow_parquet.write_table(table, out := io.BytesIO())
    path = pack({"metadata.parquet": out.getvalue(), **LABELLED})
    assert classes(path) == {"1.png": "3", "x/2.png": None, "ünlisted.png": None, "gone.png": "4"}


def test_names_without_their_ending_are_those_of_the_files(pack):
    path = pack({"labels.csv": b"id,breed\n1,cat\n2.b,dog\n3.b,dog\n", "1.png": b"1", "2.b.jpg": b"2", "x.png": b"3"})
    assert classes(path) == {"1.png": "cat", "2.b.jpg": "dog", "x.png": None, "3.b": "dog"}
    assert reasons(path) == {"3.b": "is listed in labels.csv and is not there"}


@pytest.mark.parametrize(
    "listed, there",
    [("0.PNG", "0.png"), ("pics/0.png", "0.png"), ("0.png", "pics/0.png"), ("0.jpg", "a/0.png"), ("Pics/0.png", "pics/0.png")],
)
def test_a_listed_file_that_is_not_there_is_told_with_the_near_one(listed, there, pack):
    path = pack({"labels.csv": f"file,label\n{listed},cat\n1.png,dog\n".encode(), there: b"0", "1.png": b"1", "other.png": b"2"})
    assert reasons(path) == {listed: f"is listed in labels.csv and is not there, but {there} is"}


def test_a_labels_file_that_lists_no_file_that_is_there_is_refused(pack):
    path = pack({"labels.csv": b"file,label\n8.png,cat\n0.PNG,dog\n1.PNG,cat\n", "0.png": b"0", "1.png": b"1"})
    with pytest.raises(
        ValueError, match="labels.csv lists 3 files, and none of them is there: not 0.PNG, but 0.png is; write the names as"
    ):
        inputs(path)


def test_no_classes_can_be_asked_for(pack):
    path = pack({"dataset.json": b'{"labels": [["a/1.png", [0.5, 0.25]]]}', "a/1.png": b"1", "b/2.png": b"2"})
    assert classes(path, label="") == {"a/1.png": None, "b/2.png": None}


def test_no_classes_can_be_asked_for_where_folders_or_a_table_would_give_them(pack):
    path = pack({"a/1.png": b"1", "b/2.png": b"2", "labels.csv": b"file,x,y,split\na/1.png,3,4,train\nb/2.png,5,6,test\n"})
    assert classes(path, label="") == {"a/1.png": None, "b/2.png": None}
    source = archive if path.is_file() else folder
    assert [block.parts for block in source.blocks(source.Config(label=""), path)] == [["train", "test"]]


def test_whole_numbers_that_pandas_wrote_as_floats_are_whole(pack):
    names = {f"{number}.png": b"x" for number in range(4)}
    path = pack({"labels.csv": b"file,label\n0.png,3.0\n1.png,\n2.png,-1.0\n3.png,nan\n", **names})
    assert ordered(path)[:3] == ["3", None, "-1"] and ordered(path)[3] is None


def test_the_column_of_the_labels_can_be_chosen(pack):
    path = pack({"labels.csv": b"file,label,kind\n1.png,cat,tame\n", "1.png": b"1"})
    assert classes(path)["1.png"] == "cat"
    assert classes(path, label="kind")["1.png"] == "tame"
    with pytest.raises(ValueError, match="no column 'colour' for the labels but label, kind"):
        inputs(path, label="colour")


def test_a_column_without_a_labels_file_is_a_sentence(pack):
    with pytest.raises(ValueError, match="label is 'kind', a column of a labels file, but .* has none of labels.csv"):
        inputs(pack({"1.png": b"1"}), label="kind")


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("labels.csv", "", r"columns \(none\)"),
        ("labels.csv", "a,b\n1,2\n", r"labels.csv: its columns \(a,b\) do not tell which is the file; call one file_name"),
        ("labels.csv", "file,a,b\n1.png,2,3\n", r"\(file, a, b\) do not tell which is the label; .*set label"),
        ("labels.csv", "file\n1.png\n", "which is the label"),
        ("labels.csv", "file,label,label\n1.png,cat,dog\n", "labels.csv: has 2 columns called 'label'; call each by a name of its own"),
        ("labels.csv", "file,label\n1.png,cat\n2.png\n", "line 3: has 1 fields, but the header has 2"),
        ("labels.csv", 'file,label\n1.png,"cat\n', "line 2: unexpected end of data"),
        ("labels.csv", "file,label\n1.png,cat\n1.png,dog\n", "line 3: 1.png has the label dog here and cat before"),
        ("labels.csv", "file,label\n,cat\n", "line 2: names no file"),
        ("labels.jsonl", '{"file_name": "1.png", "label": 1}\n{"file_name": \n', "line 2: is no JSON"),
        ("labels.jsonl", "[1]\n", "line 1: is no object"),
        ("labels.jsonl", '{"file_name": "1.png", "label": {"a": 1}}', "line 1: the label {'a': 1} is neither"),
        ("labels.jsonl", "[" * 100_000, "line 1: is no JSON"),
        ("dataset.json", "{", "dataset.json: is no JSON"),
        ("dataset.json", '{"labels": {"1.png": 3}}', "no list of"),
    ],
)
def test_a_malformed_labels_file_is_a_sentence_with_its_line(file, text, words, pack):
    with pytest.raises(ValueError, match=words) as caught:
        inputs(pack({file: text.encode(), "1.png": b"1"}))
    assert str(caught.value).endswith(f"or give {file} another name if it is not to give the classes")


def test_bytes_that_are_no_text_are_named_with_their_line(pack):
    with pytest.raises(ValueError, match="labels.csv, line 2: is no UTF-8"):
        inputs(pack({"labels.csv": b"file,label\n1.png,\xff\n", "1.png": b"1"}))


def test_two_labels_files_are_one_too_many(pack):
    with pytest.raises(ValueError, match=r"has labels.csv and metadata.jsonl; keep only"):
        inputs(pack({"labels.csv": b"file,label\n", "metadata.jsonl": b'{"file": "1.png", "label": 1}'}))


def test_a_labels_file_in_a_sub_folder_is_an_input_like_any_other(pack):
    path = pack({"a/labels.csv": b"nonsense", "b/1.png": b"1"})
    assert classes(path) == {"a/labels.csv": "a", "b/1.png": "b"}


def test_accents_match_however_they_are_composed(pack):
    path = pack({"labels.csv": "file,label\n\u00e9.png,cat\n".encode(), "e\u0301.png": b"1"})
    assert list(classes(path).values()) == ["cat"]


def test_a_labels_file_that_cannot_be_read_is_a_sentence(tmp_path):
    content = packed("zip", {"labels.csv": b"file,label\n1.png,cat\n", "1.png": b"1"})
    path = write(tmp_path / "a", content.replace(b"cat", b"dog"))
    with pytest.raises(ValueError, match="labels.csv cannot be read: Bad CRC"):
        inputs(path)


def test_a_stylegan_zip_has_the_classes_of_its_dataset_json_and_none_without_labels(tmp_path):
    files = {f"0000{number // 2}/img{number:08d}.png": b"%d" % number for number in range(4)}
    labels = [[name, number % 2] for number, name in enumerate(files)]
    path = write(tmp_path / "a", packed("zip", files | {"dataset.json": json.dumps({"labels": labels}).encode()}))
    assert list(classes(path).values()) == ["0", "1", "0", "1"] and contents(path) == files
    write(path, packed("zip", files | {"dataset.json": b'{"labels": null}'}))
    assert list(classes(path).values()) == [None] * 4
    write(path, packed("zip", files | {"dataset.json": b'{"images": []}'}))
    assert classes(path)["00000/img00000000.png"] == "00000" and "dataset.json" in contents(path)


# ---- remote


@pytest.fixture
def remote():
    """A folder in memory, as a bucket."""
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/a/1.png": b"1" * 10, "/bucket/a/2.png": b"2" * 20, "/bucket/b c.png": b"3"})
    yield memory
    memory.rm("/bucket", recursive=True)


def watched(remote, monkeypatch) -> list[str]:
    """The paths that are fetched from now on."""
    fetched, get_file = [], type(remote).get_file

    def watching(self, path, *args, **options):
        fetched.append(path)
        return get_file(self, path, *args, **options)

    monkeypatch.setattr(type(remote), "get_file", watching)
    return fetched


def tree(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_remote_folder_is_mirrored_with_additions_changes_and_removals(remote, tmp_path, monkeypatch):
    done = []
    path = _remote.localise("memory://bucket", tmp_path, done.append)
    assert path.parent.parent == tmp_path and path.name == "bucket"
    assert tree(path) == {"a/1.png": b"1" * 10, "a/2.png": b"2" * 20, "b c.png": b"3"}
    assert done == sorted(done) and done[-1] == 31
    fetched = watched(remote, monkeypatch)
    _remote.localise("memory://bucket", tmp_path, done.append)
    assert fetched == [] and done[-1] == 31
    remote.pipe("/bucket/a/1.png", b"9" * 10)
    remote.pipe("/bucket/new.png", b"new")
    remote.rm("/bucket/b c.png")
    remote.rm("/bucket/a/2.png")
    (path / "stray").mkdir()
    (path / "stray" / "x.png").write_bytes(b"x")
    _remote.localise("memory://bucket", tmp_path, done.append)
    assert tree(path) == {"a/1.png": b"9" * 10, "new.png": b"new"} and not (path / "stray").exists()
    assert sorted(fetched) == ["/bucket/a/1.png", "/bucket/new.png"]


def test_a_mirror_that_was_damaged_here_is_mended(remote, tmp_path):
    path = _remote.localise("memory://bucket/a", tmp_path, print)
    (path / "1.png").write_bytes(b"short")
    next(tmp_path.glob("*.jsonl")).open("a").write('["2.png", {"si')
    assert tree(_remote.localise("memory://bucket/a", tmp_path, print)) == {"1.png": b"1" * 10, "2.png": b"2" * 20}


def test_an_interrupted_mirror_goes_on_where_it_was_and_shows_no_half_file(remote, tmp_path, monkeypatch):
    def dies_at_the_second(self, path, local, **options):
        if path.endswith("2.png"):
            Path(local).write_bytes(b"2")
            raise ConnectionError("the line is dead")
        return get_file(self, path, local, **options)

    get_file = type(remote).get_file
    monkeypatch.setattr(type(remote), "get_file", dies_at_the_second)
    with pytest.raises(ValueError, match="memory://bucket cannot be mirrored: the line is dead"):
        _remote.localise("memory://bucket", tmp_path, print)
    (base,) = (entry for entry in tmp_path.iterdir() if entry.is_dir())
    assert tree(base / "bucket") == {"a/1.png": b"1" * 10}
    monkeypatch.setattr(type(remote), "get_file", get_file)
    fetched = watched(remote, monkeypatch)
    assert len(tree(_remote.localise("memory://bucket", tmp_path, print))) == 3
    assert sorted(fetched) == ["/bucket/a/2.png", "/bucket/b c.png"]


def test_a_path_that_was_a_file_may_become_a_folder_and_back(remote, tmp_path):
    remote.pipe("/bucket/x", b"file")
    assert _remote.localise("memory://bucket/x", tmp_path, print).read_bytes() == b"file"
    remote.rm("/bucket/x")
    remote.pipe("/bucket/x/1.png", b"1")
    assert tree(_remote.localise("memory://bucket/x", tmp_path, print)) == {"1.png": b"1"}
    remote.rm("/bucket/x", recursive=True)
    remote.pipe("/bucket/x", b"file again")
    assert _remote.localise("memory://bucket/x", tmp_path, print).read_bytes() == b"file again"


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "a//evil.png", "a\\..\\evil.png", "c:/evil.png"])
def test_a_remote_name_that_leads_outside_is_refused_before_anything_is_fetched(name, remote, tmp_path, monkeypatch):
    listing = {f"/bucket/{name}": {"name": name, "size": 1, "type": "file"}}
    monkeypatch.setattr(type(remote), "find", lambda *args, **options: listing)
    with pytest.raises(ValueError, match="would lie outside of the mirror"):
        _remote.localise("memory://bucket", tmp_path / "mirror", print)
    assert tree(tmp_path) == {}


def test_files_of_this_machine_are_mirrored_too(tmp_path):
    write(tmp_path / "data" / "sub" / "ü 1.png", b"1")
    path = _remote.localise((tmp_path / "data").as_uri(), tmp_path / "mirror", print)
    assert tree(path) == {"sub/ü 1.png": b"1"}
    one = _remote.localise((tmp_path / "data" / "sub").as_uri() + "/ü 1.png", tmp_path / "mirror", print)
    assert one.name == "ü 1.png" and one.read_bytes() == b"1"


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    seen = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form, *args):
            seen.append(self.command)

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.seen = seen
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_an_archive_from_a_web_server_is_fetched_once_and_again_when_it_changed(server, tmp_path):
    served = write(tmp_path / "served" / "my set.zip", packed("zip", FILES))
    url = f"http://127.0.0.1:{server.server_port}/my%20set.zip?signature=secret"
    done = []
    path = _remote.localise(url, tmp_path / "mirror", done.append)
    assert contents(path) == FILES and done[-1] == served.stat().st_size
    _remote.localise(url, tmp_path / "mirror", done.append)
    assert server.seen.count("GET") == 1
    write(served, packed("tar.gz", FILES))
    assert _remote.localise(url, tmp_path / "mirror", done.append).read_bytes() == served.read_bytes()
    assert server.seen.count("GET") == 2


def test_a_folder_of_a_web_server_is_one_where_its_address_ends_in_a_slash(server, tmp_path):
    write(tmp_path / "served" / "set" / "a" / "1.png", b"1")
    write(tmp_path / "served" / "set" / "2.png", b"2")
    path = _remote.localise(f"http://127.0.0.1:{server.server_port}/set/", tmp_path / "mirror", print)
    assert tree(path) == {"a/1.png": b"1", "2.png": b"2"}


def test_what_is_not_there_is_a_sentence_without_the_password(server, tmp_path):
    for host in (f"127.0.0.1:{server.server_port}", "127.0.0.1:9"):
        with pytest.raises(ValueError, match="gone.zip[?]… cannot be mirrored") as caught:
            _remote.localise(f"http://user:secret@{host}/gone.zip?key=hidden", tmp_path / "mirror", print)
        assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)
        assert caught.value.__suppress_context__
    with pytest.raises(ValueError, match="memory://nowhere cannot be mirrored"):
        _remote.localise("memory://nowhere", tmp_path / "mirror", print)
    with pytest.raises(ValueError, match="Protocol not known"):
        _remote.localise("nonsense://x", tmp_path / "mirror", print)


@pytest.mark.parametrize("url, package", [("s3://bucket/x", "ganline[s3]"), ("gs://bucket/x", "ganline[gcs]")])
def test_a_missing_filesystem_is_named_with_the_way_to_get_it(url, package, tmp_path, monkeypatch):
    for name in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError) as caught:
        _remote.localise(url, tmp_path, print)
    assert f"pip install '{package}'" in str(caught.value)


# ---- which source


def test_a_source_is_found_by_content(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    assert _detect.detect(tmp_path / "folder.zip") == "folder"
    for kind in KINDS:
        assert _detect.detect(write(tmp_path / "x.png", packed(kind, FILES))) == "archive"


@pytest.mark.parametrize(
    "content, words",
    [(b"", "is empty"), (b"hello", "bytes are b'hello'"), (b"\x89PNG\r\n", "single PNG"), (b"Rar!", "RAR archive; unpack")],
)
def test_what_no_source_recognises_is_a_sentence_with_the_formats_there_are(content, words, tmp_path):
    with pytest.raises(ValueError, match=words) as caught:
        _detect.detect(write(tmp_path / "x.bin", content))
    assert "x.bin" in str(caught.value) and "archive, folder" in str(caught.value)
    with pytest.raises(ValueError, match="gone is not there"):
        _detect.detect(tmp_path / "gone")


# ---- real sets


@pytest.mark.parametrize(
    "name, pictures, some", [("noto-emoji-128.zip", 1433, {"png128"}), ("photos-sr.zip", 138, {"BSDS500-val", "Set5", "Set14"})]
)
def test_a_real_archive_is_read_whole(name, pictures, some):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; GANLINE_DATA names the folder of real data sets")
    assert _detect.detect(path) == "archive" and reasons(path) == {}
    found = [class_name for class_name, content in inputs(path).values() if content.startswith((b"\x89PNG", b"\xff\xd8\xff"))]
    assert len(found) == pictures and set(found) == some
