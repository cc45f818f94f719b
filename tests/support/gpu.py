"""The GPU of the tests that need one."""

from __future__ import annotations

GPU = "cuda"
