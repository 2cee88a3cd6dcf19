"""Pickles without Python: numbers, strings, lists, tuples, dicts and numpy arrays of numbers come out, nothing else can.

A pickle is a program. This interpreter knows the instructions that Python 2 wrote for such data (protocol 2, as in CIFAR's
batches); it looks nothing up by name and calls nothing that a pickle names. Format: the comments of Lib/pickletools.py.
"""

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import numpy as np

_MOST_STEPS = 2_000_000  # CIFAR-100's 50,000 images take a fifth
_MOST_AXES = 8
_MOST_NAME_BYTES = 256
_CODES = {code.code: code for code in pickletools.opcodes}
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict,
}  # fmt: skip
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_PLACES = {"PROTO", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
_STRINGS = {"SHORT_BINSTRING": 1, "BINSTRING": 4, "BINUNICODE": 4}  # bytes of their length
_ARRAY, _TYPE, _KIND = "an empty array", "a type of numbers", "the kind of array"  # what the names below stand for
_GLOBALS = {
    "numpy.core.multiarray._reconstruct": _ARRAY, "numpy._core.multiarray._reconstruct": _ARRAY,
    "numpy.dtype": _TYPE, "numpy.ndarray": _KIND,
}  # fmt: skip


_Filled = TypeVar("_Filled")


class _Refused(ValueError):
    """Not read on purpose, as opposed to damaged."""


@dataclass
class _Global:
    meaning: str


@dataclass
class _Type:
    code: str
    order: str = "|"


@dataclass
class _Array:
    array: np.ndarray | None = None


def read(file: IO[bytes], num_bytes: int) -> object:
    """The one object in a pickle of `num_bytes`; Python 2's strings as bytes. ValueError says what it is instead."""
    try:
        return _Machine(file, num_bytes).run()
    except _Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"is a damaged pickle ({type(error).__name__}: {error})") from error


@dataclass
class _Machine:
    file: IO[bytes]
    num_bytes: int
    stack: list[Any] = field(default_factory=list)  # whatever a pickle holds
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self) -> object:
        for _ in range(_MOST_STEPS):
            code = _CODES.get(self.file.read(1).decode("latin-1"))
            if code is None:
                raise ValueError("it ends early or has an unknown instruction")
            if code.name == "STOP":
                return self.stack.pop()
            self.step(code.name, self.argument(code))
        raise _Refused(f"is a pickle of more than {_MOST_STEPS:,} instructions, which no batch of images needs")

    def argument(self, code: pickletools.OpcodeInfo) -> Any:
        if code.name == "GLOBAL":
            return ".".join(self.file.readline(_MOST_NAME_BYTES).decode("latin-1").rstrip("\n") for _ in range(2))
        if code.arg is not None and (code.name in _NUMBERS or code.name in _PLACES):
            return code.arg.reader(self.file)
        if code.name not in _STRINGS:
            return None  # what it has is not read: `combine` refuses it
        size = int.from_bytes(self.file.read(_STRINGS[code.name]), "little")
        if size > self.num_bytes or len(data := self.file.read(size)) < size:
            raise ValueError(f"a string of {size:,} bytes goes beyond its end")
        return data.decode() if code.name == "BINUNICODE" else data

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _NUMBERS or name in _STRINGS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            found = self.memo[argument]
            self.stack.append(found.array if isinstance(found, _Array) and found.array is not None else found)
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "PROTO":
            pass
        elif name == "GLOBAL":
            if argument not in _GLOBALS:
                raise _Refused(f"is a pickle that calls {argument!r}; only arrays are read, nothing is called")
            self.stack.append(_Global(_GLOBALS[argument]))
        else:
            self.combine(name)

    def combine(self, name: str) -> None:
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.popped(int(name[-1]))))
        elif name == "TUPLE":
            self.stack.append(tuple(self.since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self.popped(1) if name == "APPEND" else self.since_mark()
            self.top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.popped(2) if name == "SETITEM" else self.since_mark()
            if not all(isinstance(key, bytes | str) for key in items[::2]):
                raise _Refused("is a pickle with a dict of other keys than strings")
            self.top(dict).update(zip(items[::2], items[1::2], strict=True))
        elif name == "REDUCE":
            self.stack.append(_made(*self.popped(2)))
        elif name == "BUILD":
            made, state = self.popped(2)
            self.stack.append(_built(made, state))
        else:
            raise _Refused(f"is a pickle with the instruction {name}; only arrays, strings, lists, dicts and numbers are read")

    def popped(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError("an instruction lacks its operands")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: type[_Filled]) -> _Filled:
        top = self.stack[-1]
        if not isinstance(top, kind):
            raise _Refused(f"is a pickle that fills a {type(top).__name__} as if it were a {kind.__name__}")
        return top


def _made(called: object, arguments: object) -> _Array | _Type:
    """What `numpy.core.multiarray._reconstruct(ndarray, (0,), 'b')` and `numpy.dtype('u1', 0, 1)` stand for."""
    meaning = called.meaning if isinstance(called, _Global) else None
    if meaning == _ARRAY:
        return _Array()
    if meaning == _TYPE and isinstance(arguments, tuple) and arguments:
        code = _text(arguments[0])
        if not re.fullmatch("b1|[iu][1248]|f[248]", code):
            raise _Refused(f"is a pickle with an array of {code[:20]!r}; only arrays of numbers are read")
        return _Type(code)
    raise _Refused("is a pickle that calls something; only arrays are read, nothing is called")


def _built(instance: object, state: Any) -> _Type | np.ndarray:
    """A type with its byte order, from (3, order, …), or an array, from (1, shape, type, whether Fortran order, bytes)."""
    if isinstance(instance, _Type):
        instance.order = _text(state[1])
        if instance.order not in "<>|=" or any(state[2:5]):
            raise _Refused("is a pickle with an array of records; only arrays of numbers are read")
        return instance
    if not isinstance(instance, _Array):
        raise _Refused(f"is a pickle that sets the state of a {type(instance).__name__}; only arrays are built")
    _, shape, kind, fortran, data = state
    if not isinstance(kind, _Type) or not isinstance(data, bytes):
        raise _Refused("is a pickle with an array of objects; only arrays of numbers are read")
    dtype = np.dtype(kind.order + kind.code)
    if len(shape) > _MOST_AXES or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"an array of {len(shape)} axes or of negative size")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} has {len(data):,} bytes")
    instance.array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return instance.array


def _text(value: object) -> str:
    if not isinstance(value, bytes | str):
        raise _Refused(f"is a pickle with a {type(value).__name__} where the type of an array is named")
    return value.decode("latin-1") if isinstance(value, bytes) else value
