"""Sources that are arrays or tables: idx, CIFAR, numpy, Parquet, StackedMNIST; whole, damaged and hostile."""

import copyreg
import decimal
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from array_files import cifar_batch, idx_file, python2_pickle, write_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pyarrow_parquet

from gan.preparation import levels
from gan.sources import _arrays_only, _inputs, _values, cifar, idx, npy, parquet, stacked_mnist

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("GANLINE_DATA", ROOT.parent / "shared" / "data"))
SOURCES = [idx, cifar, npy, parquet]
needs_mnist = pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="MNIST is not there; GANLINE_DATA names its parent")
needs_cifar = pytest.mark.skipif(not (DATA / "cifar10").is_dir(), reason="CIFAR-10 is not there; GANLINE_DATA names its parent")


def read(source, path, **config):
    """names, classes, pixels or encoded bytes of all that is usable, and {name: reason} of the rest."""
    names, classes, contents, refusals = [], [], [], {}
    for block in source.blocks(source.Config(**config), path):
        found = _eight_bits(block) if isinstance(block, _inputs.Pixels) else block.contents
        assert len(block.names) == len(block.classes) == len(found) > 0
        if isinstance(block, _inputs.Pixels):
            assert block.array.nbytes <= _inputs.MOST_BYTES and len(block.names) <= 4096
        for name, class_name, content in zip(block.names, block.classes, found):
            if isinstance(content, _inputs.Refusal):
                refusals[name] = content.reason
            else:
                names, classes, contents = names + [name], classes + [class_name], contents + [content]
    assert len({*names, *refusals}) == len(names) + len(refusals), "a name is there twice"
    return names, classes, contents, refusals


def _eight_bits(block):
    """Pixels, or refusals, as the prepare stage makes them of a block."""
    if block.array.dtype == np.uint8:
        return block.array
    made = levels.to_eight_bits(block.array, block.own or levels.own_range(block.array.dtype), None)
    pixels = iter(made.pixels)
    return [next(pixels) if reason is None else _inputs.Refusal(reason) for reason in made.reasons]


def images(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def npy_file(array):
    np.save(file := io.BytesIO(), array, allow_pickle=True)
    return file.getvalue()


CIFAR_META = python2_pickle({b"num_cases_per_batch": 3, b"label_names": [b"airplane", b"ship"], b"num_vis": 3072})


def cifar_files(count=3):
    return {
        "batches.meta": CIFAR_META,
        "data_batch_1": cifar_batch(images(count, 32, 32, 3), [0, 1, 0][:count]),
        "test_batch": cifar_batch(images(count, 32, 32, 3, seed=1), [1, 1, 0][:count]),
    }


def tar_file(files, mode="w"):
    with tarfile.open(fileobj=(out := io.BytesIO()), mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def parquet_file(table, **options):
    pyarrow_parquet.write_table(table, out := io.BytesIO(), **options)
    return out.getvalue()


def hugging_face_table(contents, labels, names=("cat", "dog")):
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    schema = pyarrow.schema(
        [("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])), ("label", pyarrow.int64())],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    column = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(contents)]
    return pyarrow.table({"image": column, "label": labels}, schema)


# --- idx ---


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_with_their_labels(tmp_path, packed):
    train, test = images(5, 4, 3), images(2, 4, 3, seed=1)
    pack, ending = (gzip.compress, ".gz") if packed else (bytes, "")
    for part, array, labels in (("train", train, [3, 1, 4, 1, 5]), ("t10k", test, [9, 2])):
        (tmp_path / f"{part}-images-idx3-ubyte{ending}").write_bytes(pack(idx_file(array)))
        (tmp_path / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(idx_file(np.array(labels, np.uint8))))
    assert idx.recognises(tmp_path)
    names, classes, pixels, refusals = read(idx, tmp_path)
    assert names[:3] == ["t10k-images-idx3-ubyte#0", "t10k-images-idx3-ubyte#1", "train-images-idx3-ubyte#0"]
    assert classes == ["9", "2", "3", "1", "4", "1", "5"]
    assert np.array_equal(pixels, np.concatenate([test, train])) and not refusals


def test_one_idx_file_is_known_by_content_and_needs_no_labels(tmp_path):
    (tmp_path / "any.name").write_bytes(gzip.compress(idx_file(images(3, 2, 2))))
    assert idx.recognises(tmp_path / "any.name")
    assert read(idx, tmp_path / "any.name")[1] == [None] * 3


def test_a_packed_file_is_not_read_again_where_it_is_unpacked_too(tmp_path):
    content = idx_file(images(3, 2, 2))
    write_files(tmp_path, {"images-idx3": content, "images-idx3.gz": gzip.compress(content)})
    assert len(read(idx, tmp_path)[0]) == 3
    assert idx.files(tmp_path) == [tmp_path / "images-idx3"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype, code", [("u1", 8), ("f4", 13), ("f8", 14)])
@pytest.mark.parametrize("labels_dtype, labels_code", [("u1", 8), ("i4", 12), ("f4", 13)])
def test_idx_files_of_other_numbers_and_of_the_other_order_are_read(tmp_path, order, dtype, code, labels_dtype, labels_code):
    def file(array, code):
        magic = bytes([0, 0, code, array.ndim])[:: 1 if order == ">" else -1]
        return magic + np.array(array.shape, f"{order}u4").tobytes() + array.astype(array.dtype.newbyteorder(order)).tobytes()

    array = images(3, 6, 5)
    pixels = array if dtype == "u1" else (array / 255).astype(dtype)
    kind = {"u1": "ubyte", "i4": "int", "f4": "float"}[labels_dtype]
    files = {
        "t10k-images-idx3-ubyte": file(pixels, code),
        f"t10k-labels-idx1-{kind}": file(np.array([7, 0, 200], labels_dtype), labels_code),
    }
    assert idx.recognises(write_files(tmp_path, files)) and idx.recognises(tmp_path / "t10k-images-idx3-ubyte")
    names, classes, found, refusals = read(idx, tmp_path)
    assert np.array_equal(found, array) and classes == ["7", "0", "200"] and not refusals


def test_idx_files_of_colours_are_read_and_of_other_numbers_refused(tmp_path):
    array = images(3, 6, 5, 3)
    write_files(tmp_path, {"images-idx4": idx_file(array)})
    assert np.array_equal(read(idx, tmp_path)[2], array)
    write_files(tmp_path, {"images-idx4": struct.pack(">4B3I", 0, 0, 12, 3, 1, 2, 2) + bytes(16)})
    assert "in 32 bits, where nothing says what is black and what is white" in read(idx, tmp_path)[3]["images-idx4#0"]


def test_labels_of_another_count_are_refused(tmp_path):
    labels = idx_file(np.zeros(3, np.uint8))
    write_files(tmp_path, {"images-idx3": idx_file(images(4, 2, 2)), "labels-idx1": labels})
    with pytest.raises(ValueError, match="labels-idx1 tells of 3 labels and images-idx3 of 4 images"):
        read(idx, tmp_path)


def test_labels_that_break_off_leave_images_without_a_class(tmp_path):
    labels = idx_file(np.arange(4, dtype=np.uint8))[:-2]
    write_files(tmp_path, {"images-idx3": idx_file(images(4, 2, 2)), "labels-idx1": labels})
    _, classes, _, refusals = read(idx, tmp_path)
    assert classes == ["0", "1", None, None]
    assert refusals == {"labels-idx1": "2 of its labels are missing: the file ends early"}


@pytest.mark.parametrize("wrong", ["images", "labels"])
def test_a_wrong_checksum_of_a_packed_file_is_told(tmp_path, wrong):
    files = {"images-idx3.gz": idx_file(images(4, 2, 2)), "labels-idx1.gz": idx_file(np.zeros(4, np.uint8))}
    for name, content in files.items():
        packed = bytearray(gzip.compress(content))
        packed[-5] ^= name.startswith(wrong)  # the CRC's last byte
        (tmp_path / name).write_bytes(packed)
    names, _, _, refusals = read(idx, tmp_path)
    assert len(names) == 4 and len(refusals) == 1
    assert "CRC check failed" in refusals["images-idx3" if wrong == "images" else "labels-idx1"]


def test_a_file_longer_than_it_tells_and_absurd_sizes_are_told(tmp_path):
    long, absurd, flat = (tmp_path / name for name in ("long", "absurd", "flat"))
    long.write_bytes(idx_file(images(2, 2, 2)) + b"more")
    absurd.write_bytes(struct.pack(">4I", 0x803, *[2**32 - 1] * 3))
    flat.write_bytes(struct.pack(">4I", 0x803, 2**32 - 1, 0, 5))
    assert read(idx, long)[3] == {"long": "goes on after as many items as it tells of"}
    assert "says that an image has 18,446,744,065,119,617,025 bytes" in read(idx, absurd)[3]["absurd"]
    assert "says that an image has 0 bytes" in read(idx, flat)[3]["flat"]


# --- CIFAR ---


@pytest.mark.parametrize("form", ["folder", "folder above", "tar", "tar:gz", "tar:xz", "tar:bz2", "two tars"])
def test_cifar_is_read_from_its_folder_and_from_archives(tmp_path, form):
    files = cifar_files()
    if form.startswith("folder"):
        folder = write_files(tmp_path / "cifar-10-batches-py", files)
        path = folder if form == "folder" else tmp_path
    elif form == "two tars":
        first = {name: files[name] for name in ("batches.meta", "data_batch_1")}
        path = write_files(tmp_path, {"1": tar_file(first), "2": tar_file({"test_batch": files["test_batch"]}, "w:xz")})
    else:
        (path := tmp_path / "archive").write_bytes(tar_file(files, "w" + form[3:]))
    assert cifar.recognises(path)
    names, classes, pixels, refusals = read(cifar, path)
    assert names == [f"{batch}#{number}" for batch in ("data_batch_1", "test_batch") for number in range(3)]
    assert classes == ["airplane", "ship", "airplane", "ship", "ship", "airplane"] and not refusals
    assert np.array_equal(pixels, np.concatenate([images(3, 32, 32, 3), images(3, 32, 32, 3, seed=1)]))


def test_class_names_are_known_though_they_come_last_in_an_archive(tmp_path):
    (tmp_path / "archive").write_bytes(tar_file(dict(reversed(cifar_files().items()))))
    assert set(read(cifar, tmp_path / "archive")[1]) == {"airplane", "ship"}


@pytest.mark.parametrize("labels, expected", [("fine", ["beaver", "rose"]), ("coarse", ["flowers", "fish"])])
def test_cifar_100_has_fine_and_coarse_classes(tmp_path, labels, expected):
    data = images(2, 3072)
    meta = {b"fine_label_names": [b"beaver", b"rose"], b"coarse_label_names": [b"fish", b"flowers"]}
    batch = {b"fine_labels": [0, 1], b"coarse_labels": [1, 0], b"data": data}
    files = {"meta": python2_pickle(meta), "train": python2_pickle(batch), "test": python2_pickle(batch)}
    names, classes, _, _ = read(cifar, write_files(tmp_path / "cifar-100-python", files), labels=labels)
    assert names == ["test#0", "test#1", "train#0", "train#1"] and classes == expected * 2


def test_a_damaged_batch_is_one_refusal_and_the_others_are_read(tmp_path):
    files = cifar_files()
    files["data_batch_2"] = files["data_batch_1"][:5000]
    files["data_batch_3"] = cifar_batch(images(3, 32, 32, 3), [0, 1])
    files["data_batch_4"] = python2_pickle({b"data": images(3, 3071), b"labels": [0, 1, 0]})
    files["data_batch_5"] = b"\x80\x02}."
    names, _, _, refusals = read(cifar, write_files(tmp_path, files))
    assert len(names) == 6 and sorted(refusals) == [f"data_batch_{number}" for number in range(2, 6)]
    assert refusals["data_batch_2"].startswith("is a damaged pickle") and "no 3 labels" in refusals["data_batch_3"]


def test_an_archive_that_breaks_off_keeps_the_batches_before(tmp_path):
    whole = tar_file(cifar_files(), "w:gz")
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) * 3 // 4])
    names, classes, _, refusals = read(cifar, tmp_path / "a.tar.gz")
    assert names == ["data_batch_1#0", "data_batch_1#1", "data_batch_1#2"] and set(classes) == {"airplane", "ship"}
    assert sorted(refusals) == ["a.tar.gz", "test_batch"] and "damaged archive" in refusals["a.tar.gz"]


def test_two_cifars_in_a_folder_are_not_mixed(tmp_path):
    for name in ("cifar-10-batches-py", "cifar-100-python"):
        write_files(tmp_path / name, {"train": CIFAR_META})
    with pytest.raises(ValueError, match="holds more than one CIFAR"):
        read(cifar, tmp_path)


# --- pickles ---


def load(content):
    return _arrays_only.read(io.BytesIO(content), len(content))


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4", ">f8", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_out_as_they_went_in(dtype, order):
    array = np.asarray(images(3, 4), order=order).astype(dtype, order=order)
    found = load(python2_pickle({b"list": [1, -2, None, True, (b"a", [])], b"data": array}))
    assert found[b"list"] == [1, -2, None, True, (b"a", [])]
    assert np.array_equal(found[b"data"], array) and found[b"data"].dtype == array.dtype


def test_a_batch_is_the_same_to_pickle_and_to_us():
    content = cifar_batch(images(3, 32, 32, 3), [0, 1, 0])
    theirs, ours = pickle.loads(content, encoding="bytes"), load(content)
    assert list(theirs) == list(ours) and np.array_equal(theirs[b"data"], ours[b"data"])


class Attack:
    def __init__(self, called, *arguments, state=None):
        self.reduced = (called, arguments) if state is None else (called, arguments, state)

    def __reduce__(self):
        return self.reduced


class Stateful:
    pass


def attacks(sentinel):
    """Pickles that would create the file `sentinel`, or build what is no array of numbers."""
    command, code = f"touch {sentinel}", f"open({str(sentinel)!r}, 'w')"
    array = b"cnumpy.core.multiarray\n_reconstruct\n"
    for protocol in (0, 1, 2, 4):
        for attack in (
            Attack(os.system, command),
            Attack(eval, code),
            Attack(exec, code),
            Attack(getattr, "text", "upper"),
            Attack(np.fromfile, str(sentinel)),
            Attack(np.save, str(sentinel), 1),
            Attack(list, (Attack(os.system, command),)),
            Attack(copyreg._reconstructor, Stateful, object, None),
            Attack(Stateful, state={"__class__": 1}),
            np.array([Attack(os.system, command)], object),
            Stateful(),
        ):
            yield pickle.dumps({"data": attack}, protocol)
    yield b"\x80\x02cposix\nsystem\nU" + bytes([len(command)]) + command.encode() + b"\x85R."
    yield b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R."  # objects
    yield b"\x80\x02cnumpy\ndtype\ncnumpy\nndarray\n\x85R."
    yield b"\x80\x02cnumpy\nndarray\n)R."
    yield b"\x80\x02" + array + b")R}b."  # a state that is a dict
    yield b"\x80\x02}(U\x01aK\x01u}b."  # BUILD on a dict
    yield b"\x80\x02" + array + b")}b."  # BUILD on the function itself
    yield b"\x80\x02]K\x01K\x02s."  # a list as if it were a dict
    yield b"\x80\x02}])s."  # a list as a key
    yield b"\x80\x02(U\x01acos\nsystem\no."
    yield b"\x80\x02(ios\nsystem\n."
    yield b"\x80\x02U\x01xQ."  # a persistent id
    yield b"\x80\x02\x82\x01."  # an extension of copyreg
    yield python2_pickle({b"data": images(2, 2)}).replace(b"u1", b"O8")
    yield b"\x80\x02" + b"]" * 2_100_000 + b"."  # more instructions than any batch has
    yield b"\x80\x02T\xff\xff\xff\x7f"  # a string of 2 GiB


def test_no_attack_runs_and_each_is_refused_with_a_sentence(tmp_path):
    sentinel = tmp_path / "pwned"
    for number, content in enumerate(attacks(sentinel)):
        with pytest.raises(ValueError, match="^is a (damaged )?pickle"):
            load(content)
        assert not sentinel.exists(), f"attack {number}: {content[:80]}"


def test_a_long_or_strange_name_warns_of_nothing(recwarn):
    for name in (b"\\x\\q\n\xff\\\n", b"a" * 1000 + b"\nb\n"):
        with pytest.raises(ValueError, match="^is a pickle that calls"):
            load(b"\x80\x02c" + name + b".")
    assert not recwarn.list


def test_the_attacks_would_run_in_pickle(tmp_path):
    pickle.loads(next(attacks(tmp_path / "pwned")))
    assert (tmp_path / "pwned").exists()


def test_a_hostile_batch_is_one_refusal(tmp_path):
    files = cifar_files() | {"data_batch_2": pickle.dumps({"data": Attack(os.system, f"touch {tmp_path}/pwned")}, 2)}
    names, _, _, refusals = read(cifar, write_files(tmp_path / "batches", files))
    assert len(names) == 6 and not (tmp_path / "pwned").exists()
    assert refusals == {"data_batch_2": "is a pickle that calls 'posix.system'; only arrays are read, nothing is called"}


def test_depth_and_shared_parts_cost_nothing():
    deep = load(b"\x80\x02)" + b"\x85" * 1_000_000 + b".")
    assert len(deep) == 1
    assert len(load(b"\x80\x02]" + b"q\x01h\x01\x86" * 100_000 + b".")) == 2  # 2**100,000 lists, if it were copied


# --- numpy ---


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 1), (5, 6, 7, 2), (5, 6, 7, 3), (5, 6, 7, 4)])
def test_arrays_of_pixels_are_read_as_they_are(tmp_path, shape):
    array = images(*shape)
    write_files(tmp_path, {"a.npy": npy_file(array), "a-labels.npy": npy_file(np.array([2, 0, 1, -1, 7]))})
    assert npy.recognises(tmp_path / "a.npy") and not npy.recognises(tmp_path)
    names, classes, pixels, refusals = read(npy, tmp_path / "a.npy")
    assert np.array_equal(pixels, array) and not refusals
    assert names[4] == "a.npy#4" and classes == ["2", "0", "1", "-1", "7"]


def test_channels_may_come_first(tmp_path):
    array = images(5, 3, 8, 9)
    (tmp_path / "a.npy").write_bytes(npy_file(array))
    assert np.array_equal(read(npy, tmp_path / "a.npy")[2], array.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("lowest", [0, -1])
def test_floats_become_the_nearest_of_256(tmp_path, dtype, lowest):
    array = images(300, 5, 5)
    floats = (array / 255 * (1 - lowest) + lowest).astype(dtype)
    (tmp_path / "a.npy").write_bytes(npy_file(floats))
    assert np.array_equal(read(npy, tmp_path / "a.npy")[2], array)


def test_bools_are_black_and_white_and_of_16_bits_the_high_byte_is_kept(tmp_path):
    array = images(3, 5, 5)
    write_files(tmp_path, {"b.npy": npy_file(array > 99), "w.npy": npy_file((array * np.uint16(256) + 255).astype(">u2"))})
    assert np.array_equal(read(npy, tmp_path / "b.npy")[2], (array > 99) * 255)
    assert np.array_equal(read(npy, tmp_path / "w.npy")[2], array)


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros((2, 3, 3), complex), "images are whole numbers, bool or floats"),
        (np.zeros((2, 3), np.uint8), r"has the shape \(2, 3\)"),
        (np.zeros((2, 9, 9, 9), np.uint8), "1 to 4 channels"),
        (np.array([[["a"]], [[None]]], object), "a pickle, which is never read"),
        (np.zeros((2, 3, 3), [("red", np.uint8)]), "no plain array"),
        (np.asfortranarray(np.zeros((2, 3, 3), np.uint8)), "Fortran"),
    ],
)
def test_arrays_that_are_no_images_are_refused_with_the_way_out(tmp_path, array, words):
    (tmp_path / "a.npy").write_bytes(npy_file(array))
    with pytest.raises(ValueError, match=words):
        read(npy, tmp_path / "a.npy")


@pytest.mark.parametrize(
    "odd, words",
    [
        (np.full((3, 3), 255.0), "has levels from 255 to 255, beyond the [0, 1] that it is taken as; name the levels"),
        (np.full((3, 3), np.nan), "has 9 values that are no numbers"),
        (np.full((3, 3), -1.0), "has levels from -1 to -1, beyond the [0, 1]"),
        (
            np.full((3, 3), 4000, np.uint16),
            "has levels from 4000 to 4000, and would come out black as a part of [0, 65535]; name the levels",
        ),
    ],
)
def test_an_image_whose_levels_do_not_fit_is_set_aside_alone(tmp_path, odd, words):
    """Behind a block of others, by which an array's floats are taken as [0, 1]."""
    fine = np.full((3000, 3, 3), 1 if odd.dtype.kind == "f" else 65535, odd.dtype)
    (tmp_path / "a.npy").write_bytes(npy_file(np.concatenate([fine, odd[None], fine[:2]])))
    names, _, pixels, refusals = read(npy, tmp_path / "a.npy")
    assert len(names) == 3002 and (np.array(pixels) == 255).all()
    assert list(refusals) == ["a.npy#3000"] and refusals["a.npy#3000"].startswith(words)


def test_whole_numbers_of_which_nothing_is_known_need_a_range(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy_file(images(2, 3, 3).astype(np.int64) - 100))
    assert "in 64 bits, where nothing says what is black and what is white" in read(npy, tmp_path / "a.npy")[3]["a.npy#1"]


@pytest.mark.parametrize("labels", [np.arange(4), np.zeros((5, 10), int), np.full((5, 2), 0.5), np.array([None] * 5)])
def test_labels_that_do_not_belong_to_the_images_are_refused(tmp_path, labels):
    write_files(tmp_path, {"images.npy": npy_file(images(5, 2, 2)), "labels.npy": npy_file(labels)})
    assert npy.recognises(tmp_path)
    with pytest.raises(ValueError, match="labels.npy"):
        read(npy, tmp_path)


@pytest.mark.parametrize("dtype", ["<U5", ">U5", "S5"])
def test_labels_may_be_text(tmp_path, dtype):
    write_files(tmp_path, {"images.npy": npy_file(images(2, 2, 2)), "labels.npy": npy_file(np.array(["kitty", "dog"], dtype))})
    assert read(npy, tmp_path)[1] == ["kitty", "dog"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("arr_0", None)])
def test_npz_archives_are_read_with_their_labels(tmp_path, save, names):
    array = images(5, 6, 6, 3)
    arrays = {name: value for name, value in zip(names, (array, np.arange(5))) if name}
    save(tmp_path / "a.npz", **arrays)
    assert npy.recognises(tmp_path / "a.npz")
    found, classes, pixels, refusals = read(npy, tmp_path / "a.npz")
    assert np.array_equal(pixels, array) and not refusals and found[4] == f"a.npz/{names[0]}#4"
    assert classes == (list("01234") if names[1] else [None] * 5)


def test_train_and_test_of_keras_are_both_read(tmp_path):
    train, test = images(3, 4, 4), images(2, 4, 4, seed=1)
    arrays = {"x_test": test, "x_train": train, "y_train": np.array([[7], [8], [9]]), "y_test": np.array([1, 2], np.uint8)}
    np.savez(tmp_path / "mnist.npz", **arrays)
    names, classes, pixels, _ = read(npy, tmp_path / "mnist.npz")
    assert np.array_equal(pixels, np.concatenate([train, test])) and classes == ["7", "8", "9", "1", "2"]
    assert names[0] == "mnist.npz/x_train#0" and names[-1] == "mnist.npz/x_test#1"
    assert [block.parts for block in npy.blocks(npy.Config(), tmp_path / "mnist.npz")] == [["train"] * 3, ["test"] * 2]


@pytest.mark.parametrize(
    "labels, expected",
    [
        (np.array([0.0, 7.0, np.nan]), ["0", "7", None]),
        (np.array([0.5, 1, 1], ">f4"), ["0.5", "1", "1"]),
        (np.array([[0, 1], [1, 0], [0, 1]]), ["1", "0", "1"]),
        (np.eye(3, 10, 4, "f4"), ["4", "5", "6"]),
        (np.array(["cat", np.nan, ""]), ["cat", None, None]),
        (np.array([True, False, True]), ["true", "false", "true"]),
    ],
)
def test_an_array_of_labels_is_read_whatever_its_type(tmp_path, labels, expected):
    np.savez(tmp_path / "a.npz", images=images(3, 4, 4), labels=labels)
    assert read(npy, tmp_path / "a.npz")[1] == expected


@pytest.mark.parametrize(
    "names",
    [("arr_0", "arr_1"), ("images", "target"), ("x", "targets"), ("X", "Y"), ("data", "class"), ("X_train", "Y_train"),
     ("train_images", "train_labels"), ("x_test", "target_test"), ("images", "breed"), ("pictures", "kinds")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["npz", "folder", "file"])
def test_the_array_of_the_labels_is_known_by_its_name_or_because_there_is_no_other(tmp_path, names, form):
    arrays = dict(zip(names, (images(4, 5, 5), np.array([0, 1, 1, 0]))))
    np.savez(tmp_path / "a.npz", **arrays)
    write_files(tmp_path / "set", {f"{name}.npy": npy_file(array) for name, array in arrays.items()})
    path = {"npz": tmp_path / "a.npz", "folder": tmp_path / "set", "file": tmp_path / "set" / f"{names[0]}.npy"}[form]
    assert npy.recognises(path) or (form, names[0]) == ("folder", "pictures")
    assert read(npy, path)[1] == list("0110") and npy.notes(npy.Config(), path) == []


@pytest.mark.parametrize("form", ["npz", "folder"])
def test_arrays_that_may_be_labels_and_are_not_read_are_named(tmp_path, form):
    kinds, masks, odd = np.array([0, 1]), np.zeros((2, 3, 3)), np.zeros(7)
    arrays = {"images": images(2, 5, 5), "breed": kinds, "colour": kinds + 1, "masks": masks, "means": odd}
    np.savez(tmp_path / "a.npz", **arrays)
    write_files(tmp_path / "set", {f"{name}.npy": npy_file(array) for name, array in arrays.items()})
    path = tmp_path / ("a.npz" if form == "npz" else "set")
    (note,) = npy.notes(npy.Config(), path)
    assert note.startswith(f"no array gives images classes, not breed, colour, masks ({path.name}): to choose, set")
    assert read(npy, path)[1] == [None, None] and read(npy, path, label="colour")[1] == ["1", "2"]
    assert npy.notes(npy.Config(label="colour"), path) == [] and read(npy, path, label="")[1] == [None, None]
    with pytest.raises(ValueError, match=f"{path.name} has no array 'color' for label; it has images, breed"
                       if form == "npz" else "has no array 'color' for label; it has breed, colour"):  # fmt: skip
        read(npy, path, label="color")


def test_each_part_has_its_own_labels_and_a_chosen_name_is_meant_in_every_part(tmp_path):
    arrays = {f"x_{part}": images(2, 4, 4, seed=seed) for seed, part in enumerate(("train", "test"))}
    arrays |= {"y_train": np.array([1, 2]), "y_test": np.array([3, 4]), "coarse_train": np.array([5, 6]), "coarse_test": np.array([7, 8])}
    np.savez(tmp_path / "a.npz", **arrays)
    assert read(npy, tmp_path / "a.npz")[1] == list("1234")
    assert read(npy, tmp_path / "a.npz", label="coarse_train")[1] == list("5678")
    assert read(npy, tmp_path / "a.npz", image="x_test")[1] == list("34")
    assert [note.partition(" (")[0] for note in npy.notes(npy.Config(), tmp_path / "a.npz")] == [
        "the classes of x_train are y_train, not coarse_train", "the classes of x_test are y_test, not coarse_test"
    ]  # fmt: skip


def test_a_folder_of_pictures_with_some_arrays_is_no_folder_of_arrays(tmp_path):
    write_files(tmp_path, {"x.npy": npy_file(images(2, 4, 4)), "a.png": b"\x89PNG"})
    assert not npy.recognises(tmp_path)


def test_an_npz_without_images_or_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.zeros(3))
    np.savez(tmp_path / "b.npz", images=np.array([Stateful()], object))
    with pytest.raises(ValueError, match="a.npz has no array images, .* it has weights"):
        read(npy, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="b.npz/images is an array of Python objects"):
        read(npy, tmp_path / "b.npz")


def test_a_big_array_is_read_in_little_memory(tmp_path):
    with (tmp_path / "big.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (400, 512, 1024)})
        file.truncate(file.tell() + 400 * 512 * 1024)  # 200 MiB of holes
    tracemalloc.start()
    count = sum(len(block.names) for block in npy.blocks(npy.Config(), tmp_path / "big.npy"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400 and peak_bytes < 5 * _inputs.MOST_BYTES


# --- Parquet ---


def test_a_table_of_hugging_face_is_read_with_its_class_names(tmp_path):
    table = hugging_face_table([b"one", None, b"three", b"four"], [1, 0, -1, None])
    write_files(tmp_path / "data", {"train.parquet": parquet_file(table), "README.md": b"text"})
    assert parquet.recognises(tmp_path) and parquet.recognises(tmp_path / "data" / "train.parquet")
    names, classes, contents, refusals = read(parquet, tmp_path)
    assert names == [f"data/train.parquet#{number}" for number in (0, 2, 3)] and contents == [b"one", b"three", b"four"]
    assert classes == ["dog", None, None] and refusals == {"data/train.parquet#1": "has no bytes, only the path '1.png'"}


@pytest.mark.parametrize("labels, expected", [(["a", "b"], ["a", "b"]), ([3, 4], ["3", "4"]), (None, [None, None])])
def test_plain_columns_are_read(tmp_path, labels, expected):
    columns = {"picture": [b"one", b"two"]} | ({"label": labels} if labels else {})
    (tmp_path / "a").write_bytes(parquet_file(pyarrow.table(columns)))
    assert read(parquet, tmp_path / "a")[1:3] == (expected, [b"one", b"two"])


def test_columns_may_be_named_and_a_misspelt_one_is_told(tmp_path):
    table = pyarrow.table({"a": [b"1"], "b": [b"2"], "label": ["x"], "kind": ["y"]})
    (tmp_path / "t").write_bytes(parquet_file(table))
    assert read(parquet, tmp_path / "t", image="b", label="kind")[1:3] == (["y"], [b"2"])
    assert "no such column 'kinds'; it has a, b" in read(parquet, tmp_path / "t", label="kinds")[3]["t"]


def table_of(tmp_path, labels, name="label", **more):
    columns = {"image": pyarrow.array([b"1", b"2", b"3"][: len(labels)]), name: labels, **more}
    (tmp_path / "t").write_bytes(parquet_file(pyarrow.table(columns)))
    return tmp_path / "t"


@pytest.mark.parametrize(
    "labels, expected",
    [
        (pyarrow.array([0.0, 7.0, None]), ["0", "7", None]),
        (pyarrow.array([1.0, float("nan"), 0.5]), ["1", None, "0.5"]),
        (pyarrow.array([b"cat", b"dog", b""]), ["cat", "dog", None]),
        (pyarrow.array(["cat", "NaN", " dog"]), ["cat", None, "dog"]),
        (pyarrow.array(["cat", "dog", "cat"]).dictionary_encode(), ["cat", "dog", "cat"]),
        (pyarrow.array([True, False, None]), ["true", "false", None]),
        (pyarrow.array([3, 4, 5]).cast(pyarrow.decimal128(22, 2)), ["3", "4", "5"]),
        (pyarrow.array([[3], [4], []]), ["3", "4", None]),
        (pyarrow.array([["a", "b"], ["b"], None]), ["a+b", "b", None]),
        (pyarrow.array([[0, 0, 1], [1, 0, 0], None]), ["2", "0", None]),
        (pyarrow.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], pyarrow.list_(pyarrow.float32(), 2)), ["1", "0", "1"]),
        (pyarrow.array([[0, 1], [2], [1]]), ["0+1", "2", "1"]),
    ],
)
def test_a_column_of_labels_is_read_whatever_its_type(tmp_path, labels, expected):
    assert read(parquet, table_of(tmp_path, labels))[1:3] == (expected, [b"1", b"2", b"3"])


@pytest.mark.parametrize(
    "labels, words",
    [
        (pyarrow.array([[0.1, 0.2], [0.3, 0.4]]), r"its labels are vectors of numbers, \[0.1, 0.2\], which are no classes"),
        (pyarrow.array([[0, 1, 1], [1, 0, 0]]), "are rows of 3 zeros and ones, of which not one alone is one"),
        (pyarrow.array([{"a": 1}, {"a": 2}]), "the label {'a': 1} is neither text nor number"),
        (pyarrow.array([b"\xff", b"b"]), "the label b'.xff' is no UTF-8 text"),
        (pyarrow.array([float("inf"), 1.0]), "the label inf is no number of a class"),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_their_column_with_the_way_out(tmp_path, labels, words):
    path = table_of(tmp_path, labels, species=["cat", "dog"])
    with pytest.raises(ValueError, match=f"t: its column 'label' gives no classes: .*{words}.*; to choose, set .*source.label"):
        read(parquet, path)
    assert read(parquet, path, label="species")[1] == ["cat", "dog"]
    assert read(parquet, path, label="")[1] == [None, None]


@pytest.mark.parametrize(
    "name", ["class", "labels", "Label", "target", "targets", "cls", "category", "fine_label", "class_name", "ClassId", "y", "species"]
)
def test_the_column_of_the_labels_is_known_by_its_name_or_because_there_is_no_other(tmp_path, name):
    assert read(parquet, table_of(tmp_path, [1, 0], name))[1] == ["1", "0"]
    ids = {"id": [7, 8], "file_name": ["a", "b"], "width": [5, 6], "__index_level_0__": [0, 1]}
    path = table_of(tmp_path, [1, 0], name, **ids)
    assert read(parquet, path)[1] == ["1", "0"] and parquet.notes(parquet.Config(), path) == []


def test_columns_that_may_be_labels_and_are_not_read_are_named(tmp_path):
    path = table_of(tmp_path, [1, 0], "breed", colour=["red", "blue"])
    (note,) = parquet.notes(parquet.Config(), path)
    assert read(parquet, path)[1] == [None, None] and note.startswith("no column gives classes, not 'breed', 'colour' (t): to choose")
    path = table_of(tmp_path, [1, 0], "coarse_label", fine_label=[5, 6], breed=["pug", "cat"])
    (note,) = parquet.notes(parquet.Config(), path)
    assert read(parquet, path)[1] == ["5", "6"] and note.startswith("the classes are its column 'fine_label', not 'coarse_label' (t)")
    assert parquet.notes(parquet.Config(label="breed"), path) == parquet.notes(parquet.Config(label=""), path) == []


def test_a_picture_called_target_is_no_label(tmp_path):
    picture = pyarrow.array([{"bytes": b"3", "path": None}])
    (tmp_path / "t").write_bytes(parquet_file(pyarrow.table({"target": picture, "input": [b"1"]})))
    assert read(parquet, tmp_path / "t", image="input")[1:3] == ([None], [b"1"])
    assert read(parquet, tmp_path / "t")[1:3] == ([None], [b"3"])


def test_a_row_may_hold_a_list_of_pictures(tmp_path):
    kind = pyarrow.list_(pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))
    rows = [[{"bytes": b"1", "path": "a"}, {"bytes": b"2", "path": "b"}], [], None, [{"bytes": None, "path": "c"}]]
    table = pyarrow.table({"images": pyarrow.array(rows, kind), "label": ["x", "y", "z", "x"]})
    (tmp_path / "t").write_bytes(parquet_file(table))
    assert parquet.recognises(tmp_path / "t")
    names, classes, contents, refusals = read(parquet, tmp_path / "t")
    assert (names, classes, contents) == (["t#0.0", "t#0.1"], ["x", "x"], [b"1", b"2"])
    assert list(refusals) == ["t#1.0", "t#2", "t#3.0"] and "only the path 'c'" in refusals["t#3.0"]


def test_class_names_of_lists_are_those_of_the_schema(tmp_path):
    table = hugging_face_table([b"one", b"two", b"three"], [0, 0, 0])
    feature = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "List"}
    features = {"image": {"_type": "Image"}, "kinds": feature}
    table = table.drop_columns(["label"]).append_column("kinds", pyarrow.array([[1], [0, 1], [-1]]))
    table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    (tmp_path / "t").write_bytes(parquet_file(table))
    assert read(parquet, tmp_path / "t")[1] == ["dog", "cat+dog", None]


def test_a_folder_of_pictures_with_a_table_of_captions_is_not_parquet(tmp_path):
    write_files(tmp_path, {"a.png": b"\x89PNG", "metadata.parquet": parquet_file(pyarrow.table({"text": ["a"]}))})
    assert not parquet.recognises(tmp_path)


def test_a_damaged_parquet_file_is_one_refusal_and_the_others_are_read(tmp_path):
    whole = parquet_file(hugging_face_table([b"x" * 100] * 50, [0] * 50))
    write_files(tmp_path, {"a.parquet": whole[:-20], "b.parquet": whole})
    assert parquet.recognises(tmp_path)
    names, _, _, refusals = read(parquet, tmp_path)
    assert len(names) == 50 and list(refusals) == ["a.parquet"] and refusals["a.parquet"].startswith("cannot be read: ")


def test_rows_come_in_blocks_of_a_bearable_size(tmp_path):
    (tmp_path / "a").write_bytes(parquet_file(pyarrow.table({"image": [bytes([number]) * (3 << 18) for number in range(20)]})))
    blocks = list(parquet.blocks(parquet.Config(), tmp_path / "a"))
    assert len(blocks) == 4 and max(sum(map(len, block.contents)) for block in blocks) <= _inputs.MOST_BYTES


# --- damage, whatever the format ---


def whole_files():
    array = images(40, 8, 8)
    np.savez_compressed(packed := io.BytesIO(), x=array, y=np.arange(40))
    np.savez(plain := io.BytesIO(), x=array, y=np.arange(40).astype("U"))
    table = hugging_face_table([bytes(range(100)) * 3] * 30, [0, 1] * 15)
    return {
        "idx": (idx, idx_file(array)),
        "idx.gz": (idx, gzip.compress(idx_file(array))),
        "npy": (npy, npy_file(array)),
        "npy of floats": (npy, npy_file(array / np.float32(255))),
        "npz": (npy, plain.getvalue()),
        "npz packed": (npy, packed.getvalue()),
        "parquet": (parquet, parquet_file(table, row_group_size=10)),
        "cifar.tar": (cifar, tar_file(cifar_files(2))),
        "cifar.tar.gz": (cifar, tar_file(cifar_files(2), "w:gz")),
        "cifar.tar.xz": (cifar, tar_file(cifar_files(2), "w:xz")),
        "cifar.tar.bz2": (cifar, tar_file(cifar_files(2), "w:bz2")),
    }


def read_or_refused(source, path):
    """Blocks, or a sentence; any other exception fails the test."""
    source.recognises(path)
    try:
        return read(source, path)
    except ValueError as error:
        assert len(str(error)) > 20
        return None


@pytest.mark.parametrize("name", whole_files())
def test_a_file_cut_anywhere_gives_what_is_whole_and_says_what_is_missing(tmp_path, name):
    source, content = whole_files()[name]
    (tmp_path / "whole").write_bytes(content)
    expected = read(source, tmp_path / "whole")
    assert len(expected[0]) >= 4 and not expected[3]
    for size in np.linspace(0, len(content) - 1, 40).astype(int):
        (tmp_path / "whole").write_bytes(content[:size])
        if found := read_or_refused(source, tmp_path / "whole"):
            names, _, contents, refusals = found
            assert names == expected[0][: len(names)]
            assert np.array_equal(contents, expected[2][: len(names)]) if len(names) else True
            assert refusals or (len(names) == len(expected[0]) and name == "cifar.tar"), size  # only zeros are cut off there


def test_whole_images_of_a_cut_idx_file_are_counted(tmp_path):
    (tmp_path / "a").write_bytes(idx_file(images(10, 4, 4))[: 16 + 7 * 16 + 5])
    names, _, _, refusals = read(idx, tmp_path / "a")
    assert len(names) == 7 and refusals == {"a": "3 of its 10 images are missing: the file ends early"}


@pytest.mark.parametrize("name", whole_files())
def test_flipped_bits_give_blocks_or_a_sentence(tmp_path, name):
    source, content = whole_files()[name]
    random = np.random.default_rng(0)
    for trial in range(60):
        damaged = np.frombuffer(content, np.uint8).copy()
        near = (128, len(content))[trial % 2]  # in the header as often as anywhere
        for place in random.integers(0, near, random.integers(1, 5)):
            damaged[place if trial % 3 else -1 - place] ^= 1 << random.integers(8)
        (tmp_path / "a").write_bytes(damaged)
        read_or_refused(source, tmp_path / "a")


MAGICS = [b"\0\0\x08\x03", b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"\x93NUMPY\x01\0", b"PK\3\4", b"PAR1", b"\x80\x02}", b""]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_random_bytes_after_any_magic_give_blocks_or_a_sentence(tmp_path, magic, rest):
    file = write_files(tmp_path / "folder", {"data_batch_1": magic + rest}) / "data_batch_1"
    for source in SOURCES:
        read_or_refused(source, file)
        read_or_refused(source, file.parent)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(b"\x80\x02NK\x01(tu}]e.sab0q\x00h\x00)RU\x00T\x85\x86\x87\x89"), max_size=40))
def test_random_instructions_give_data_or_a_sentence(codes):
    try:
        load(b"\x80\x02" + bytes(codes))
    except ValueError as error:
        assert str(error).startswith("is a ")


# --- who is who ---


def test_each_file_is_recognised_by_its_own_source_only(tmp_path):
    for name, (source, content) in whole_files().items():
        (tmp_path / "a").write_bytes(content)
        assert [other for other in [*SOURCES, stacked_mnist] if other.recognises(tmp_path / "a")] == [source], name


def test_pictures_and_text_are_recognised_by_none(tmp_path):
    write_files(tmp_path / "cat", {"0.png": b"\x89PNG\r\n\x1a\n" + bytes(50), "notes.txt": b"text" * 100})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/0.png", b"\x89PNG")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, *tmp_path.rglob("*"), tmp_path / "missing"):
        assert not [source for source in [*SOURCES, stacked_mnist] if source.recognises(path)], path


# --- StackedMNIST ---


def small_mnist(folder):
    """Ten digits, each of one grey: digit d has the value 20 d."""
    array = np.repeat(np.arange(10, dtype=np.uint8) * 20, 9).reshape(10, 3, 3)
    test = np.full((1, 3, 3), 255, np.uint8)
    return write_files(
        folder,
        {
            "train-images-idx3-ubyte": idx_file(array),
            "train-labels-idx1-ubyte": idx_file(np.arange(10, dtype=np.uint8)),
            "t10k-images-idx3-ubyte": idx_file(test),
            "t10k-labels-idx1-ubyte": idx_file(np.zeros(1, np.uint8)),
        },
    )


def test_the_channels_are_training_digits_of_the_class(tmp_path):
    names, classes, pixels, _ = read(stacked_mnist, small_mnist(tmp_path), num_images=5000)
    assert names[0] == "stacked#0" and names[-1] == "stacked#4999"
    digits = np.stack(pixels)[:, 0, 0] // 20
    assert [f"{red}{green}{blue}" for red, green, blue in digits] == classes
    assert len(set(classes)) > 950  # of 1,000 modes, e**-5 are missed: 7


def test_a_seed_names_the_images_whatever_their_number(tmp_path):
    few, many, other = (
        read(stacked_mnist, small_mnist(tmp_path), **config)
        for config in ({"num_images": 10}, {"num_images": 3000}, {"num_images": 10, "seed": 1})
    )
    assert np.array_equal(few[2], many[2][:10]) and few[1] == many[1][:10] and few[1] != other[1]


def test_stacking_needs_labelled_and_whole_digits(tmp_path):
    folder = small_mnist(tmp_path)
    (folder / "train-images-idx3-ubyte").write_bytes((folder / "train-images-idx3-ubyte").read_bytes()[:-1])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte in .* is not whole"):
        read(stacked_mnist, folder)
    for labels in small_mnist(folder).glob("*labels*"):
        labels.unlink()
    with pytest.raises(ValueError, match=r"has the labels \['None'\]"):
        read(stacked_mnist, folder)


# --- the real ones ---


def histogram(source, path):
    classes = Counter()
    for block in source.blocks(source.Config(), path):
        assert isinstance(block, _inputs.Pixels)
        classes.update(block.classes)
    return classes


@needs_mnist
def test_mnist_has_its_70_000_digits():
    assert idx.recognises(DATA / "mnist")
    found = histogram(idx, DATA / "mnist")
    assert [found[str(digit)] for digit in range(10)] == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]


@needs_mnist
def test_stacked_mnist_has_all_1000_modes():
    assert len(histogram(stacked_mnist, DATA / "mnist")) == 1000


@pytest.mark.slow
@needs_cifar
def test_cifar_10_has_ten_classes_of_6_000():
    assert cifar.recognises(DATA / "cifar10")
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert histogram(cifar, DATA / "cifar10") == dict.fromkeys(names, 6000)


def test_names_that_are_no_text_and_columns_of_one_name_are_refused(tmp_path):
    """Bytes that are no UTF-8 must not become one class with a sign in place of what differs."""
    np.savez(
        tmp_path / "a.npz",
        x=np.zeros((4, 16, 16, 3), np.uint8),
        y=np.array(["K\u00e4se".encode("latin-1"), "K\u00f6se".encode("latin-1"), b"a", b"b"]),
    )
    with pytest.raises(ValueError, match="no UTF-8"):
        [list(block.classes) for block in npy.blocks(npy.Config(), tmp_path / "a.npz")]
    twice = pyarrow.schema([("image", pyarrow.binary()), ("label", pyarrow.int64()), ("label", pyarrow.int64())])
    with pytest.raises(ValueError, match="more than once"):
        parquet._columns(parquet.Config(), twice)
    assert _values.class_name(decimal.Decimal(10**29)) == "1" + "0" * 29 and _values.class_name(decimal.Decimal("sNaN")) is None


def test_labels_within_labels_within_labels_are_refused_however_deep():
    """A label of JSON may be nested as deep as its parser goes."""
    with pytest.raises(ValueError, match="neither text nor number"):
        _values.class_name(json.loads("[" * 900 + "]" * 900))
