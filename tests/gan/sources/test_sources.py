"""What holds for every source: its contract, whatever lies at the path; and hostile input that no format has to itself."""

import functools
import gzip
import http.server
import io
import os
import struct
import tarfile
import threading
import traceback
import zipfile

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import patient
from pyarrow import parquet as pyarrow_parquet

from gan import addresses, choices
from gan.sources import _inputs, _remote, archive, cifar, folder, idx

SOURCES = choices.names("sources")
HEADS = [
    b"",
    b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x93NUMPY\1\0", b"PAR1", b"\x80\x02}",
    struct.pack(">4I", 0x803, 2, 2, 2),
]  # fmt: skip
NAMES = [
    "file", "labels.csv", "metadata.jsonl", "dataset.json", "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "images.npy",
    "labels.npy", "data_batch_1", "batches.meta", "a.parquet", "part1.tar.xz",
]  # fmt: skip


def read(name, path):
    module = choices.module("sources", name)
    return list(module.blocks(module.Config(), path))


def refusals(blocks):
    pictures = [block for block in blocks if isinstance(block, _inputs.Pictures)]
    pairs = [pair for block in pictures for pair in zip(block.names, block.contents)]
    return {name: content.reason for name, content in pairs if isinstance(content, _inputs.Refusal)}


def blocks_or_sentence(name, path):
    """Blocks that keep the contract, or None where a sentence of our own was raised; anything else fails."""
    try:
        blocks = read(name, path)
    except ValueError as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert type(error) is ValueError and "sources" in last.filename and last.line.startswith("raise "), repr(error)
        return None
    names = [one for block in blocks for one in block.names]
    assert len(names) == len(set(names))
    for one in names:
        one.encode("utf-8")
        assert not one.startswith("/") and ".." not in one.split("/")
    for block in blocks:
        contents = block.contents if isinstance(block, _inputs.Pictures) else block.array
        assert 0 < len(block.names) == len(block.classes) == len(contents) <= _inputs.MOST_PICTURES
    return blocks


def within(seconds, action):
    """The result of `action`, or a failure where it has none in time: a loop in C is not ended by pytest's timeout."""
    found = []
    thread = threading.Thread(target=lambda: found.append(action()), daemon=True)
    thread.start()
    thread.join(patient(seconds))
    assert found, "it hangs, or failed as printed above"
    return found[0]


def tree(path):
    return {file: file.read_bytes() if file.is_file() else None for file in path.rglob("*")}


def numpy_file(array):
    np.save(out := io.BytesIO(), array)
    return out.getvalue()


def zip_file(count):
    with zipfile.ZipFile(out := io.BytesIO(), "w") as file:
        for number in range(count):
            file.writestr(f"{number % 2}/{number}.png", b"picture")
    return out.getvalue()


def parquet_file(count):
    pyarrow_parquet.write_table(pyarrow.table({"image": [b"picture"] * count}), out := io.BytesIO())
    return out.getvalue()


def idx_file(count, side=2):
    return struct.pack(">4I", 0x803, count, side, side) + bytes(count * side * side)


WHOLE = {
    "archive": zip_file,
    "idx": idx_file,
    "npy": lambda count: numpy_file(np.zeros((count, 2, 2), "u1")),
    "parquet": parquet_file,
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_has_the_three_parts_of_its_contract(name):
    module = choices.module("sources", name)
    assert issubclass(module.Config, choices.Config) and module.Config() == module.Config.model_validate({})
    assert callable(module.recognises) and callable(module.blocks)


@pytest.mark.parametrize("name", WHOLE)
def test_every_input_comes_once_in_the_same_order_each_time_in_blocks_of_a_bearable_size(name, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(WHOLE[name](300))
    first, second = blocks_or_sentence(name, path), blocks_or_sentence(name, path)
    assert [block.names for block in first] == [block.names for block in second]
    assert sum(len(block.names) for block in first) == 300 and not refusals(first)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["nothing", "empty file", "empty folder", "pipe", "link to nothing", "link to itself"])
def test_whatever_lies_at_the_path_a_source_answers_and_does_not_wait(name, kind, tmp_path):
    path = tmp_path / "path"
    if kind == "empty file":
        path.touch()
    elif kind == "empty folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind.startswith("link"):
        path.symlink_to("path" if kind == "link to itself" else "nowhere")
    within(10, lambda: (choices.module("sources", name).recognises(path), blocks_or_sentence(name, path)))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=600))
def test_random_bytes_give_blocks_or_a_sentence_and_nothing_is_written(name, scratch, head, rest):
    path = scratch / "file"
    path.write_bytes(head + rest)
    before = tree(scratch)
    choices.module("sources", name).recognises(path)
    blocks_or_sentence(name, path)
    assert tree(scratch) == before


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(NAMES), st.tuples(st.sampled_from(HEADS), st.binary(max_size=200)), max_size=4))
def test_folders_of_random_files_give_blocks_or_a_sentence_and_nothing_is_written(name, scratch, files):
    path = scratch / "folder"
    path.mkdir(exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    for file, (head, rest) in files.items():
        (path / file).write_bytes(head + rest)
    before = tree(scratch)
    choices.module("sources", name).recognises(path)
    blocks_or_sentence(name, path)
    assert tree(scratch) == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing"])
def test_what_only_has_the_name_of_an_idx_file_is_one_refusal_and_the_others_are_read(kind, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_file(3))
    odd = tmp_path / "t10k-images-idx3-ubyte"
    {"folder": odd.mkdir, "pipe": lambda: os.mkfifo(odd), "link to nothing": lambda: odd.symlink_to("nowhere")}[kind]()
    blocks = within(10, lambda: list(idx.blocks(idx.Config(), tmp_path)))
    assert refusals(blocks) == {"t10k-images-idx3-ubyte": "is no regular file"}
    assert sum(len(block.names) for block in blocks) == 4


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_whose_header_claims_what_is_not_there_ends_at_once(pack, tmp_path):
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w") as file:
        file.addfile(tarfile.TarInfo("a.png"))
    huge = tarfile.TarInfo("b.png")
    huge.size = 9 * 10**11
    path = tmp_path / "claims.tar"
    path.write_bytes(pack(out.getvalue()[:512] + huge.tobuf(tarfile.GNU_FORMAT) + b"few bytes"))
    assert within(10, lambda: cifar.recognises(path)) is False
    found = within(10, lambda: refusals(archive.blocks(archive.Config(), path)))
    assert list(found) == ["b.png", "claims.tar#damaged"]  # the one is too large, and then the archive ends


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/../../x.png", "a\\..\\..\\x.png", "C:\\x.png"])
def test_a_labels_file_cannot_name_what_lies_outside(name, tmp_path):
    (tmp_path / "labels.csv").write_text(f"file,label\n1.png,cat\n{name},dog\n")
    with pytest.raises(ValueError, match=r"labels\.csv, line 3: .* leads outside"):
        list(folder.blocks(folder.Config(), tmp_path))


def test_paths_in_a_labels_file_may_be_written_untidily(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.png").write_bytes(b"picture")
    (tmp_path / "labels.csv").write_text("file,label\n./sub//./1.png,cat\n")
    (block,) = folder.blocks(folder.Config(), tmp_path)
    assert (block.names, block.classes) == (["sub/1.png"], ["cat"])


def test_two_addresses_that_differ_in_their_query_are_two_mirrors(tmp_path):
    """As of a server that names files by ?id=: equal sizes and dates do not make them equal."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, with_body):
            content = self.path.partition("?id=")[2].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Last-Modified", "Tue, 24 Nov 2020 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(content if with_body else b"")

        do_GET = functools.partialmethod(answer, True)
        do_HEAD = functools.partialmethod(answer, False)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/download?id="
        paths = {name: _remote.localise(url + name, tmp_path / "mirror", lambda done: None) for name in ("one", "two")}
        server.shutdown()
    assert {name: path.read_text() for name, path in paths.items()} == {"one": "one", "two": "two"}


def test_a_new_password_in_an_address_keeps_its_mirror():
    hidden = {addresses.without_user(f"https://user:{word}@host/set.zip?id=1") for word in ("old", "new")}
    assert hidden == {"https://host/set.zip?id=1"}
