"""Loading datasets of the hub and of local directories through `datasets`, restricted to plain data that cannot run code.

The following is rejected before any data are read: builders that are not in `BUILDERS` (one of them unpickles files, others
read archives and media), URLs in a dataset card that `system.urls` does not allow, and saved datasets that refer to files
elsewhere. Columns of images, audio, … are left out, because decoding one opens any path that it contains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ie_cli.errors import DataError, IEError, did_you_mean
from ie_cli.system.hub import hub_access
from ie_cli.system.json_reading import loads
from ie_cli.system.urls import ALLOWED_HINT, rejection_reason, require_allowed

PREFIX = "hub:"
BUILDERS = ("json", "csv", "parquet", "arrow", "text", "conll")
"""The packaged builders of `datasets` that read plain data; the library selects one by the suffixes of the files."""
_CACHE = "cache"
"""The builder that reads data prepared by an earlier call if there is no network."""
_CARDS = ("README.md", ".huggingface.yaml")


def load_rows(source: str, report: Callable[[str], None]) -> Any:
    """Load the rows of ``hub:NAME?split=…&config=…`` as a `datasets.Dataset`.

    Raises:
        DataError: the dataset cannot be loaded, or needs a builder that is not in `BUILDERS`.
    """
    import datasets

    name, _, query = source.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query))
    if unknown := sorted(set(options) - {"split", "config"}):
        raise DataError(
            f"{source}: unknown option '{unknown[0]}'{did_you_mean(unknown[0], ('split', 'config'))}",
            hint=f"write {PREFIX}{name}?split=NAME&config=NAME, or one of them.",
        )
    if not name:
        raise DataError(
            f"{source}: the name of the dataset is missing",
            hint=f"write {PREFIX}NAME, or {PREFIX}./DIRECTORY for a local one.",
        )
    require_allowed(name)
    datasets.disable_progress_bars()
    try:
        with hub_access(source, DataError, files="the data"):
            data = _load(name, options.get("config"), source)
    except IEError:
        raise
    except Exception as error:  # the library raises many types of errors
        raise DataError(
            f"{source}: the dataset cannot be loaded: {next(iter(str(error).splitlines()), type(error).__name__)}",
            hint="check the name and the network; local directories can be read without one.",
        ) from error
    if isinstance(data, Mapping):
        split = options.get("split") or ("train" if len(data) != 1 else next(iter(data)))
        if len(data) > 1 and "split" not in options:
            report(f"{source}: reading the split '{split}' of {', '.join(data)}")
        if split not in data:
            raise DataError(
                f"{source}: there is no split '{split}' (available: {', '.join(data)})",
                hint=f"write {PREFIX}{name}?split=NAME",
            )
        data = data[split]
    media = [column for column, feature in data.features.items() if _is_media(feature)]
    if media:
        report(f"{source}: media columns are left out: {', '.join(media)}")
    return data.remove_columns(media).with_format(None)


def _load(name: str, config: str | None, source: str) -> Any:
    import datasets

    directory = Path(name)
    if (directory / "state.json").exists() or (directory / "dataset_dict.json").exists():
        _check_saved(directory, source)
        return datasets.load_from_disk(name)
    _check_cards(name, source)
    builder = datasets.load_dataset_builder(name, config)  # lists the files without reading them
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in (*BUILDERS, _CACHE):
        raise _not_plain(kind, source)
    builder.download_and_prepare()
    return builder.as_dataset()


def _not_plain(builder: str, source: str) -> DataError:
    return DataError(
        f"{source}: `datasets` would read it with the builder '{builder}', which is not allowed",
        hint=f"store the data as JSON Lines or Parquet (allowed builders: {', '.join(BUILDERS)}). "
        f"To read a directory of that name, write ./{builder}.",
    )


def _check_cards(name: str, source: str) -> None:
    """Check that the card of a dataset contains no URLs that are not allowed."""
    for card in _cards(name):
        for text in _texts(_metadata(card)):
            message = (
                f"{text[:120]}: chained protocols (::) are not allowed" if "::" in text else rejection_reason(text)
            )
            if message is not None:
                raise DataError(f"{source}: its {card.name} names {message}", hint=ALLOWED_HINT)


def _cards(name: str) -> Iterator[Path]:
    """Yield the files that describe where the data of a dataset are."""
    if Path(name).is_dir():
        yield from (path for card in _CARDS if (path := Path(name) / card).is_file())
        return
    from huggingface_hub import hf_hub_download

    for card in _CARDS if name.count("/") <= 1 else ():  # names of old datasets have no owner
        try:
            path = Path(hf_hub_download(name, card, repo_type="dataset"))
        except Exception:  # noqa: S112 - no card or no network: loading the dataset reports which
            continue
        yield path


def _metadata(card: Path) -> Any:
    """Return the configurations of a card."""
    if card.suffix == ".md":
        from huggingface_hub import metadata_load

        fields = metadata_load(card)
    else:
        from ruamel.yaml import YAML

        fields = YAML(typ="safe").load(card.read_text(encoding="utf-8"))
    return fields.get("configs") if isinstance(fields, dict) else None


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a YAML or JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _check_saved(directory: Path, source: str) -> None:
    """Check that the splits and files of a saved dataset lie in its directory."""
    directories = [directory]
    if (index := directory / "dataset_dict.json").exists():
        splits = loads(index.read_text(encoding="utf-8"))["splits"]
        directories += [directory / _plain(split, index, source) for split in splits]
    for path in directories:
        if (state := path / "state.json").exists():
            for file in loads(state.read_text(encoding="utf-8"))["_data_files"]:
                _plain(file["filename"], state, source)


def _plain(name: str, where: Path, source: str) -> str:
    if name in ("", ".", "..") or any(separator in name for separator in ("/", "\\", ":")):
        raise DataError(
            f"{source}: {where.name} names {name[:120]!r}, which is not a file in its directory",
            hint="save the dataset again with save_to_disk.",
        )
    return name


def _is_media(feature: Any) -> bool:
    """Return whether the library opens files or decodes bytes in native code for a column of this type."""
    import datasets

    if isinstance(feature, Mapping):
        return any(map(_is_media, feature.values()))
    if isinstance(feature, (list, tuple)):
        return any(map(_is_media, feature))
    if (inner := getattr(feature, "feature", None)) is not None:
        return _is_media(inner)
    return hasattr(feature, "decode_example") and not isinstance(feature, datasets.Json)
