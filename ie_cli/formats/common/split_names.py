"""The words in the names of files and directories that say which split they belong to."""

from __future__ import annotations

import os

SPLIT_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "validation", "val", "eval", "development"),
    "test": ("test", "testing"),
}
"""The words of each split."""
SPLITS = {word: split for split, words in SPLIT_NAMES.items() for word in words}
"""The split of each word."""


def is_split_directory(path: str) -> bool:
    """Return whether the name of a directory is that of a split, so that its files are among those of its parent."""
    return os.path.basename(path).lower() in SPLITS
