"""Start a run from a trained model: its tokenizer, its encoder, and the rows of the labels that its heads share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from accelerate import init_empty_weights
from tokenizers import Tokenizer
from torch import nn

from ie_cli.codecs.base import Codec
from ie_cli.errors import RecipeError
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import fingerprint
from ie_cli.modeling.encoder import apply_options, build_encoder, checkpoint_layers
from ie_cli.modeling.heads.base import building_options
from ie_cli.modeling.transfer import transfer_head
from ie_cli.recipe.encoder_functions import options_in_use, options_without_effect
from ie_cli.recipe.heads import HeadSection
from ie_cli.recipe.schema import EncoderSection, Recipe, TaskSection

_TOKENIZATION = ("vocabulary", "tokenization", "normalization")
"""The encoder options that token ids depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialHead:
    """What a head takes from the model.

    Attributes:
        kept, fresh, dropped: the labels and predicates of both, of the run alone, and of the model alone.
        reason: why all weights of the head are fresh; None if the head continues that of the model.
    """

    kept: Sequence[str]
    fresh: Sequence[str]
    dropped: Sequence[str]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialWeights:
    """What a run takes from the model that it starts from, by task."""

    model: Path
    heads: Mapping[str, InitialHead]


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A trained model whose weights a run starts from."""

    path: Path
    extractor: Extractor

    @classmethod
    def of(cls, recipe: Recipe) -> InitialModel | None:
        """Load the model that a recipe names, or return None if it names none.

        Raises:
            ModelError: the model cannot be loaded.
            RecipeError: the encoder options of the recipe do not fit the model.
        """
        if recipe.training.init_from is None:
            return None
        path = Path(recipe.training.init_from)
        extractor = Extractor.from_pretrained(path, device="cpu", precision="float32", backend="torch")
        _require_same_encoder(recipe.encoder, extractor.recipe.encoder, path)
        model = cls(path, extractor)
        model._require_layers(recipe.encoder)
        return model

    def encoder(self, section: EncoderSection) -> tuple[nn.Module, Tokenizer]:
        """Return the encoder, with the recipe's options, and the tokenizer.

        Raises:
            ModelError: an option does not fit the encoder.
        """
        trained = self.extractor.model.encoder
        config: Any = trained.config
        apply_options(config, section.model_copy(update={"name": str(self.path), "layers": None}))
        with init_empty_weights(include_buffers=False):
            encoder = build_encoder(config)  # dropout is set when the layers are built
        encoder.load_state_dict(trained.state_dict(), assign=True)
        if section.gradient_checkpointing:
            checkpoint_layers(encoder)
        return encoder, self.extractor.tokenizer

    def initialise(
        self, heads: Mapping[str, nn.Module], codecs: Mapping[str, Codec], sections: Mapping[str, TaskSection]
    ) -> InitialWeights:
        """Copy the weights of the model's heads to new heads; tasks and labels are matched by name."""
        trained, known = self.extractor.recipe.instances(), self.extractor.codecs()
        taken: dict[str, InitialHead] = {}
        for name, head in heads.items():
            names = codecs[name].schema.names
            before = known[name].schema.names if name in known else ()
            reason: str | None = f"no task {name}"
            if name in trained:
                reason = _difference(trained[name].head, sections[name].head) or _kinds(known[name], codecs[name])
            if reason is not None:
                taken[name] = InitialHead(kept=(), fresh=names, dropped=before, reason=reason)
                continue
            transfer_head(
                cast(nn.Module, self.extractor.model.head(name)),
                head,
                source_labels=known[name].matrices,
                target_labels=codecs[name].matrices,
            )
            taken[name] = InitialHead(
                kept=[label for label in names if label in before],
                fresh=[label for label in names if label not in before],
                dropped=[label for label in before if label not in names],
            )
        return InitialWeights(model=self.path, heads=taken)

    def _require_layers(self, section: EncoderSection) -> None:
        config: Any = self.extractor.model.encoder.config
        if section.layers not in (None, config.num_hidden_layers):
            raise _misfit("layers", section.layers, config.num_hidden_layers, self.path)


def initial_fingerprint(recipe: Recipe) -> str | None:
    """Return a hash of the model that a run starts from, or None if there is none or its directory is missing."""
    path = recipe.training.init_from
    return fingerprint(Path(path)) if path is not None and os.path.isdir(path) else None


def _require_same_encoder(section: EncoderSection, trained: EncoderSection, path: Path) -> None:
    """Check that the options of the encoder are those that the model was trained with."""
    for name in _TOKENIZATION:
        if getattr(section, name) != getattr(trained, name):
            raise _misfit(name, getattr(section, name), getattr(trained, name), path)
    before = options_in_use(trained)
    for name, value in options_in_use(section).items():
        if value != before.get(name, value):
            raise _misfit(name, value, before[name], path)
    for name, message in options_without_effect(section):
        if getattr(section, name) != getattr(trained, name):
            raise RecipeError(f"encoder.{name}: {message}", hint=f"remove encoder.{name}.")
    one, other = section.name, trained.name
    if one != other and os.path.realpath(one) != os.path.realpath(other):
        raise _misfit("name", one, other, path)


def _misfit(name: str, got: Any, trained: Any, path: Path) -> RecipeError:
    return RecipeError(
        f"encoder.{name}: got {got}, but the model in training.init_from ({path}) has {trained}",
        hint=f"remove encoder.{name}: it is then taken from the model.",
    )


def _difference(old: HeadSection, new: HeadSection) -> str | None:
    """Return why a head cannot continue another one, or None if it can."""
    if old.name != new.name:
        return f"head.name was {old.name} and is now {new.name}"
    before, now = building_options(old), building_options(new)
    changed = (key for key in now if before[key] != now[key] and key not in new.training)
    return next((f"head.{key} was {before[key]} and is now {now[key]}" for key in changed), None)


def _kinds(old: Codec, new: Codec) -> str | None:
    """Return the difference between what two heads for pairs learn, or None if both learn classes, or both grades."""
    before, now = ("classes" if codec.schema.grades is None else "grades" for codec in (old, new))
    return f"it learned {before}, and the data have {now}" if before != now else None
