"""EAC's attention map and loss against loops over pixels; the mean face is the datasets'."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.frame_store.crop import canonical_face
from datasets._landmarks.markup import INNER_49, MIRROR_68
from methods._base import MethodError
from methods._eac_attention import au_centres, canonical_landmarks, eac_attention, eac_loss

RNG = np.random.default_rng(8)


def t(array: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def centres_by_hand(points: np.ndarray, height: int, width: int) -> list[tuple[float, float]]:
    """The table of methods.md 5, point by point."""
    p = points * (100 / width, 100 / height)
    ruler = abs(p[39, 0] - p[42, 0])
    pairs = [(21, 22, -ruler / 2), (18, 25, -ruler / 3), (19, 24, ruler / 3), (41, 46, ruler)]
    pairs += [(38, 43, 0), (49, 53, 0), (48, 54, 0), (51, 57, 0), (61, 63, 0), (56, 58, ruler / 2)]
    return [(p[i, 0], p[i, 1] + down) for a, b, down in pairs for i in (a, b)]


def paper_map(points: np.ndarray, height: int, width: int) -> np.ndarray:
    grid = np.zeros((100, 100))
    for x, y in centres_by_hand(points, height, width):
        cx, cy = round(x), round(y)
        for py in range(max(0, cy - 5), min(100, cy + 6)):
            for px in range(max(0, cx - 5), min(100, cx + 6)):
                grid[py, px] = max(grid[py, px], 1 - 0.095 * (abs(px - cx) + abs(py - cy)))
    return grid


def released_map(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """A patch is drawn from its top left corner on, and not at all if that lies outside."""
    grid = np.zeros((100, 100))
    for x, y in centres_by_hand(points, height, width):
        cx, cy = int(x), int(y)
        if cx - 7 < 0 or cy - 7 < 0:
            continue
        for py in range(cy - 7, min(100, cy + 7)):
            for px in range(cx - 7, min(100, cx + 7)):
                grid[py, px] = max(grid[py, px], 1 - 0.07 * (abs(px - cx) + abs(py - cy)))
    return grid


def face(height: int, width: int, *, off: float = 0.0) -> np.ndarray:
    points = canonical_face().astype(np.float64) + RNG.normal(0, 0.02, (68, 2)) + off
    return points * (width, height)


@pytest.mark.parametrize("off", [0.0, -0.3, 0.35])
def test_the_map_is_the_papers_and_stops_at_the_border(off: float) -> None:
    points = face(180, 240, off=off)
    ours = eac_attention(t(points), (180, 240))
    assert ours.shape == (100, 100)
    assert ours.numpy() == pytest.approx(paper_map(points, 180, 240), abs=1e-12)


@pytest.mark.parametrize("off", [0.0, -0.3, 0.35])
def test_the_released_map_loses_patches_at_the_top_and_left(off: float) -> None:
    points = face(224, 224, off=off)
    ours = eac_attention(t(points), (224, 224), "released")
    assert ours.numpy() == pytest.approx(released_map(points, 224, 224), abs=1e-12)


def test_a_batch_is_its_faces_one_by_one() -> None:
    points = np.stack([face(64, 64) for _ in range(3)])
    batch = eac_attention(t(points), (64, 64))
    for i in range(3):
        assert torch.equal(batch[i], eac_attention(t(points[i]), (64, 64)))
    whole = torch.as_tensor(np.round(points[0])).long()
    torch.testing.assert_close(
        eac_attention(whole, (64, 64)), eac_attention(whole.float(), (64, 64))
    )


def test_the_49_inner_points_give_the_same_map() -> None:
    points = face(64, 64)
    whole, inner = (t(p)[None] for p in (points, points[INNER_49]))
    assert torch.equal(au_centres(whole, (64, 64)), au_centres(inner, (64, 64)))
    with pytest.raises(MethodError, match="68 or 49 landmarks a face, not 5"):
        eac_attention(torch.zeros(1, 5, 2), (64, 64))


def test_a_mirrored_face_has_a_mirrored_map() -> None:
    points = np.round(face(100, 100))
    mirrored = points[MIRROR_68] * (-1, 1) + (99, 0)
    ours = eac_attention(t(mirrored), (100, 100))
    # mirror about the pixels' middles; the ruler and the windows are symmetric
    assert ours.flip(1).numpy() == pytest.approx(eac_attention(t(points), (100, 100)).numpy())


def test_the_mean_face_is_that_of_the_datasets_where_points_are_used() -> None:
    ours, theirs = canonical_landmarks().double(), t(canonical_face())
    torch.testing.assert_close(
        au_centres(ours[None], (1, 1)), au_centres(theirs[None], (1, 1)), atol=0.02, rtol=0
    )


def test_the_loss_is_the_published_one_over_coded_elements() -> None:
    p, y = RNG.uniform(0, 1, (5, 3)), RNG.integers(-1, 2, (5, 3))
    terms = [
        -math.log((p[i, j] + 0.05) / 1.05) if y[i, j] else -math.log((1.05 - p[i, j]) / 1.05)
        for i in range(5)
        for j in range(3)
        if y[i, j] >= 0
    ]
    loss = eac_loss(t(p), t(y))
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_the_loss_is_bounded_and_zero_where_nothing_is_coded() -> None:
    wrong = eac_loss(t([[0.0, 1.0]]), t([[1, 0]]))
    assert wrong.item() == pytest.approx(math.log(21))
    p = t([[0.0, 1.0]]).requires_grad_()
    eac_loss(p, t([[-1, -1]])).backward()
    assert (p.grad == 0).all()


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(MethodError, match="form='code' is not a choice: it takes paper, released"):
        eac_attention(torch.zeros(68, 2), (100, 100), "code")  # type: ignore[arg-type]
