"""How this process computes: threads, determinism, and memory pages kept. Everything that can change bits is explicit."""

import ctypes
import os
import platform
import sys

import torch
from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def settle(threads: int) -> None:
    """Fix the number of threads of torch and of BLAS, and allow only deterministic operations."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first use
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)
    torch.use_deterministic_algorithms(True)
    # else each new tensor is filled first: 6 % of a step's time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch makes it at import
    torch.backends.cudnn.benchmark = False
    _keep_pages()


def resolve_device(device: str, key: str = "train.device") -> str:
    """cpu or cuda; `auto` is cuda where there is one. ValueError where cuda is asked for, by `key`, and missing."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"{key} is 'cuda' and this machine has none that torch can use; set cpu, or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def facts(device: str) -> dict:
    """What, besides code, data and params, decides the bits: versions and kind of processor."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability(),
    }


def _keep_pages() -> None:
    """Keep freed memory instead of returning it page by page (glibc): training is up to half as fast again."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD):
        libc.mallopt(option, 64 << 20)
