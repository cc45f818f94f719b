from __future__ import annotations

import pytest
import torch
from support.references import rotation

from ie_cli.modeling.rotary import rotary_angles, rotate


def test_rotate_multiplies_by_the_rotation_matrix() -> None:
    x = torch.randn(7, 8, dtype=torch.float64)
    cos, sin = rotary_angles(7, 8, torch.device("cpu"))
    expected = torch.stack([rotation(position, 8) @ x[position] for position in range(7)])
    torch.testing.assert_close(rotate(x, cos.double(), sin.double()), expected, atol=1e-6, rtol=1e-6)


def test_products_depend_on_the_distance_alone() -> None:
    query, key = torch.randn(8), torch.randn(8)
    angles = rotary_angles(40, 8, torch.device("cpu"))
    q, k = rotate(query.expand(40, 8), *angles), rotate(key.expand(40, 8), *angles)
    scores = q @ k.T
    for distance in (0, 3, 11):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(scores[0, 3], scores[3, 0])


def test_an_odd_size_is_refused() -> None:
    with pytest.raises(ValueError, match="even size, got 7"):
        rotary_angles(3, 7, torch.device("cpu"))
