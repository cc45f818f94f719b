"""An encoder built from scratch: hashed embeddings of the features of words, then layers that each see a word and its neighbours.

Token ids contain the features (`encoding.word_features`), so that the model needs no vocabulary and has embeddings for words
that it has not seen. Each feature has a table with fewer rows than it has values; the embedding of a value is the sum of
several rows, which hardly any other value shares all of (Bloom embeddings, Serrà and Karatzoglou, arXiv 1706.03993). A layer
is a convolution with a maxout unit (Goodfellow et al., arXiv 1302.4389) and layer normalisation, with a residual connection.
The network is that of spaCy's HashEmbedCNN (Miranda et al., arXiv 2212.09255).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from ie_cli.encoding.word_features import FEATURE_BITS, WORD, hash_of
from ie_cli.encoding.word_vocabulary import SPECIALS
from ie_cli.modeling.encoder import HASH_MODEL_TYPE

_PRIME = 2**31 - 1
_LARGEST = 1_000_000


class HashCnnConfig(PretrainedConfig):  # type: ignore[misc]
    """The sizes of the network.

    Attributes:
        embedding_size: the number of components of the embedding of a feature.
        embedding_rows: the number of rows of the table of each feature.
        embedding_hashes: the number of rows whose sum is the embedding of a value.
        window: the number of tokens on each side of a token that a layer sees.
        pieces: the number of linear functions of which a maxout unit takes the largest value.
    """

    model_type = HASH_MODEL_TYPE

    def __init__(
        self,
        *,
        hidden_size: int = 96,
        num_hidden_layers: int = 4,
        embedding_size: int = 96,
        embedding_rows: Sequence[int] = (5000, 1000, 2500, 2500),
        embedding_hashes: int = 4,
        window: int = 1,
        pieces: int = 3,
        hidden_dropout_prob: float = 0.1,
        **options: Any,
    ) -> None:
        sizes = (hidden_size, num_hidden_layers, embedding_size, *embedding_rows, embedding_hashes, window, pieces)
        if len(embedding_rows) != len(FEATURE_BITS) or not all(
            type(size) is int and 0 < size <= _LARGEST for size in sizes
        ):
            raise ValueError(f"the sizes must be positive integers up to {_LARGEST}, got {sizes}")
        super().__init__(**{"pad_token_id": 0, **options})
        self.vocab_size = len(SPECIALS)
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.embedding_size, self.embedding_rows = embedding_size, list(embedding_rows)
        self.embedding_hashes = embedding_hashes
        self.window, self.pieces, self.hidden_dropout_prob = window, pieces, hidden_dropout_prob


class Maxout(nn.Module):
    """``LayerNorm(max_p(W_p x + b_p))``."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)
        self.norm = nn.LayerNorm(outputs)
        nn.init.normal_(self.linear.weight, std=inputs**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[…, outputs]`` for ``[…, inputs]``."""
        output: Tensor = self.norm(self.linear(x).unflatten(-1, (-1, self.pieces)).amax(-1))
        return output


class HashEmbeddings(nn.Module):
    """The embeddings of the features of words.

    Attributes:
        num_embeddings: the number of ids that are no words, but special tokens.
    """

    multipliers: Tensor
    offsets: Tensor

    def __init__(self, config: HashCnnConfig) -> None:
        super().__init__()
        self.num_embeddings = config.vocab_size
        self.rows = config.embedding_rows
        tables = [nn.Embedding(rows, config.embedding_size) for rows in self.rows]
        for table in tables:
            nn.init.uniform_(table.weight, -0.1, 0.1)
        self.tables = nn.ModuleList(tables)
        for name in ("multipliers", "offsets"):
            numbers = [
                [1 + hash_of(name, f"{feature} {number}") % (_PRIME - 1) for number in range(config.embedding_hashes)]
                for feature in FEATURE_BITS
            ]
            self.register_buffer(name, torch.tensor(numbers), persistent=False)  # [features, hashes]

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings of all features side by side, ``[batch, L, features · embedding]``, for ids ``[batch, L]``."""
        parts, shift = [], 0
        for number, (bits, table) in enumerate(zip(FEATURE_BITS.values(), self.tables, strict=True)):
            values = (input_ids >> shift & ((1 << bits) - 1)).unsqueeze(-1)  # [batch, L, 1]
            rows = (values * self.multipliers[number] + self.offsets[number]) % _PRIME % self.rows[number]
            parts.append(table(rows).sum(-2))  # [batch, L, embedding]
            shift += bits
        return torch.cat(parts, -1)


class HashCnn(PreTrainedModel):  # type: ignore[misc]
    """The encoder; padding has no effect on the tokens before it."""

    config_class = HashCnnConfig

    def __init__(self, config: HashCnnConfig) -> None:
        super().__init__(config)
        width, size = 2 * config.window + 1, config.hidden_size
        self.embeddings = HashEmbeddings(config)
        self.embedding_mix = Maxout(len(FEATURE_BITS) * config.embedding_size, size, config.pieces)
        self.special_embeddings = nn.Embedding(config.vocab_size, size)
        self.layers = nn.ModuleList(Maxout(width * size, size, config.pieces) for _ in range(config.num_hidden_layers))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of all features."""
        return self.embeddings

    def _init_weights(self, module: nn.Module) -> None:
        """Do nothing: the modules initialise their weights."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False) -> BaseModelOutput:
        """Return the output of the last layer and, on request, of all layers; ``[batch, L, hidden]`` each."""
        window, length = self.config.window, input_ids.shape[1]
        words = self.embedding_mix(self.embeddings(input_ids))
        special = self.special_embeddings(input_ids.clamp(max=self.config.vocab_size - 1))
        hidden = self.dropout(torch.where((input_ids >= WORD).unsqueeze(-1), words, special))
        inside = attention_mask.unsqueeze(-1).to(hidden.dtype)  # [batch, L, 1]
        states = [hidden := hidden * inside]
        for layer in self.layers:
            around = nn.functional.pad(hidden, (0, 0, window, window))
            seen = torch.cat([around[:, shift : shift + length] for shift in range(2 * window + 1)], -1)
            hidden = (hidden + self.dropout(layer(seen))) * inside
            states.append(hidden)
        return BaseModelOutput(last_hidden_state=hidden, hidden_states=tuple(states) if output_hidden_states else None)


AutoConfig.register(HashCnnConfig.model_type, HashCnnConfig)
AutoModel.register(HashCnnConfig, HashCnn)
