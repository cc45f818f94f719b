"""Memory: how the C library deals with what is freed, and by what errors it shows that there is too little."""

from __future__ import annotations

import ctypes
import errno
import platform
import re

from ie_cli.errors import IEError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # M_… of malloc.h


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what comes next, instead of asking the system for zeroed pages again.

    A training step of the sizes of sentences becomes some 8 % faster on a CPU. It holds for the whole process, so it is for
    commands alone. Only glibc has these settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**26)


_SAID = re.compile(
    "DefaultCPUAllocator|MPS backend out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|"  # torch
    "could not create a (?:primitive|memory)|"  # oneDNN
    "bad_alloc|bad allocation|bad_array_new_length|"  # C++
    "Failed to allocate memory|BFCArena::AllocateRawInternal|Available memory of|"  # ONNX Runtime
    r"(?:malloc|realloc) of size \d+ failed|"  # Arrow
    r"memory allocation of \d+ bytes failed|capacity overflow|"  # Rust
    "can't start new thread|Thread creation failed|ThreadPoolBuildError|"  # a thread needs a stack
    "failed to map segment from shared object|cannot allocate memory|Cannot allocate memory|not enough memory"
)
_QUOTING = (IEError, ValueError, LookupError)
"""Errors that quote data, which may say anything; what they were raised from is looked at."""
_NAMES = frozenset({"OutOfMemoryError", "ArrowMemoryError", "_ArrayMemoryError"})


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory did not suffice: of what an error is, or of what it was raised from.

    Every library has errors of its own for it, and several say it by a plain RuntimeError or ImportError.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or type(error).__name__ in _NAMES:
            return True
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno == errno.ENOMEM:
                return True
        elif not isinstance(error, _QUOTING) and _SAID.search(str(error)):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
