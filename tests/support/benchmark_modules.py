"""The modules of `benchmarks/`, which are in no package, and small corpora in place of theirs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
ROWS = (("Anna B-PER B-PER", "Berg I-PER O", "wohnt O O", "in O O", "Ulm B-LOC O"), ("Sie O O", "geht O O"))


@contextmanager
def benchmark_modules(*names: str) -> Iterator[list[Any]]:
    """Import modules of the benchmarks; all that are new are forgotten afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in set(sys.modules) - known:
            if name == "peers" or str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
                del sys.modules[name]


def write_corpora(directory: Path) -> Path:
    """Write a few made-up sentences under the names of the corpora."""
    cluener = [
        json.dumps(
            {"text": f"云州{n}号的林若曦", "label": {"name": {"林若曦": [[5, 7]]}, "address": {"云州": [[0, 1]]}}}
        )
        for n in range(8)
    ]
    spo: dict[str, Any] = {"predicate": "导演", "subject": "灯塔", "subject_type": "影视作品"}
    spo |= {"object": {"@value": "高长青"}, "object_type": {"@value": "人物"}}
    duie = [json.dumps({"text": f"灯塔{n}由高长青执导", "spo_list": [spo]}) for n in range(8)]
    conll04 = [
        {
            "tokens": ["Anna", "Berg", "lives", "in", "Ulm", str(n)],
            "tags": ["B-Peop", "L-Peop", "O", "O", "U-Loc", "O"],
            "relations": [{"head": 0, "tail": 1, "type": "Live_In"}],
        }
        for n in range(6)
    ]
    files = {
        "cluener/train.json": "\n".join(cluener),
        "cluener/dev.json": "\n".join(cluener[:3]),
        "duie2/train_a.json": "\n".join(duie[:4]),
        "duie2/train_b.json": "\n".join(duie[4:]),
        "duie2/dev.json": "\n".join(duie[:3]),
        "duie2/schema.json": json.dumps({key: spo[key] for key in ("predicate", "subject_type", "object_type")}),
        **{f"conll04/conll04_{split}.json": json.dumps(conll04) for split in ("train", "dev", "test")},
        "germeval2014/dev.tsv": "".join(
            "\n".join([*(row.replace(" ", "\t") for row in rows), f"{n}\tO\tO\n\n"]) for n in range(10) for rows in ROWS
        ),
        **{
            f"crossner_ai/{split}.txt": "".join(
                "\n".join([*("\t".join(row.split()[:2]) for row in rows), f"{n}\tO\n\n"])
                for n in range(4)
                for rows in ROWS
            )
            for split in ("train", "dev", "test")
        },
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    return directory
