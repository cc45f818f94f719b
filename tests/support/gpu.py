"""The GPU of the tests that need one."""

from __future__ import annotations

GPU = "cuda"
AUTO = "auto"
"""The device of their recipes, which name no GPU."""
