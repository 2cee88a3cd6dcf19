"""Files of arrays as MNIST's and CIFAR's publishers write them."""

import struct

import numpy as np


def idx_file(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def python2_pickle(value):
    """As Python 2's cPickle writes it, protocol 2: strings as BINSTRING, arrays by numpy.core.multiarray._reconstruct."""

    def written(value):
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x89" if not value else b"\x88"
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, bytes):
            return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<I", len(value)) + value
        if isinstance(value, tuple):
            return b"(" + b"".join(map(written, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(written, value)) + b"e"
        if isinstance(value, dict):
            return b"}q\x01(" + b"".join(written(part) for item in value.items() for part in item) + b"u"
        kind = b"cnumpy\ndtype\n" + written((value.dtype.str[1:].encode(), 0, 1)) + b"R"
        kind += written((3, value.dtype.str[:1].encode(), None, None, None, -1, -1, 0)) + b"b"
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + written((0,)) + written(b"b") + b"tR"
        order = "F" if not value.flags.c_contiguous else "C"
        state = b"(" + written(1) + written(value.shape) + kind + written(order == "F") + written(value.tobytes(order)) + b"t"
        return made + b"r\x01\0\0\0" + state + b"b"

    return b"\x80\x02" + written(value) + b"."


def cifar_batch(array, labels, key=b"labels"):
    flat = array.transpose(0, 3, 1, 2).reshape(len(array), -1)
    return python2_pickle({b"batch_label": b"a batch", key: labels, b"data": np.ascontiguousarray(flat)})


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
