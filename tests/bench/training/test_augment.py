import dataclasses

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode

from bench.config.parsing import override_fields
from bench.config.settings import AugmentConfig
from bench.errors import UsageError
from bench.training import augment_ops as ops
from bench.training.augment import (
    DRAWS,
    Draw,
    _colours,
    augment,
    move_landmarks,
    normalise,
    strong_draw,
    weak_draw,
)
from datasets._landmarks.markup import MIRROR_68

CONFIG = AugmentConfig()
STILL = AugmentConfig(
    flip=0, rotate=0, brightness=0, contrast=0, saturation=0, strong_ops=0, cutout=0
)
NAMES = [op.name for op in ops.POOL]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def noise(count=4, side=24, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3))
    return torch.from_numpy(values.astype(np.uint8))


def waves(side=64):
    """A smooth image: resampling it in another way changes next to nothing."""
    y, x = np.mgrid[:side, :side] / side
    channels = [100 + 40 * np.sin(5 * x + 3 * y), 128 + 30 * np.cos(4 * y), 140 - 50 * x * y]
    return torch.from_numpy(np.stack(channels, -1).round().astype(np.uint8))[None]


def made(warp=None, factors=(1.0, 1.0, 1.0), applied=(), box=(0.0, 0.0, 0.0, 0.0)):
    """A draw for one clip with known parameters; `applied` lists (operation, magnitude)."""
    theta = ops.affine() if warp is None else warp
    kinds = np.array([[NAMES.index(name) for name, _ in applied]], dtype=np.int64)
    sizes = np.array([[size for _, size in applied]], dtype=np.float64)
    colour = _colours(*(np.array([factor]) for factor in factors))
    return Draw(theta[:, :2], colour, kinds, sizes, np.array([box]))


def shown(frames, draw):
    """Frames of one clip as they look after `draw`, back in 0..255, channels first."""
    views = augment(frames, np.zeros(len(frames), dtype=np.int64), draw).double()
    scale = torch.from_numpy(255 * STD).view(3, 1, 1)
    return views * scale + torch.from_numpy(255 * MEAN).view(3, 1, 1)


def reference(frames):
    return frames.permute(0, 3, 1, 2)


def same_draw(one, other):
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


def test_normalise_agrees_with_float64_numpy():
    frames = noise()
    expected = (frames.numpy() / 255.0 - MEAN) / STD
    found = normalise(frames)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


@pytest.mark.parametrize("view", DRAWS)
def test_a_draw_that_moves_nothing_is_plain_normalisation(view):
    frames = noise()
    draw = DRAWS[view](STILL, 2, 5)
    views = augment(frames, np.array([0, 0, 1, 1]), draw)
    torch.testing.assert_close(views, normalise(frames), atol=1e-5, rtol=0)


@pytest.mark.parametrize("view", DRAWS)
@given(clips=st.integers(1, 9), more=st.integers(1, 9), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_a_clip_is_drawn_alike_however_many_clips_follow(view, clips, more, seed):
    few, many = DRAWS[view](CONFIG, clips, seed), DRAWS[view](CONFIG, clips + more, seed)
    assert same_draw(few, Draw(*(value[:clips] for value in vars(many).values())))


@pytest.mark.parametrize("view", DRAWS)
def test_seeds_tell_draws_apart_and_nothing_else_does(view):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draw = DRAWS[view](CONFIG, 6, 1)
    augment(noise(), np.arange(4), draw)
    assert same_draw(draw, DRAWS[view](CONFIG, 6, 1))
    assert not same_draw(draw, DRAWS[view](CONFIG, 6, 2))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("view", DRAWS)
def test_frames_of_a_clip_share_its_draw_and_clips_differ(view):
    frames = noise(1).expand(6, -1, -1, -1)
    views = augment(frames, np.array([0, 0, 0, 1, 1, 1]), DRAWS[view](CONFIG, 2, 3))
    assert all(torch.equal(views[0], views[i]) for i in (1, 2))
    assert all(torch.equal(views[3], views[i]) for i in (4, 5))
    assert not torch.allclose(views[0], views[3], atol=0.1)


@pytest.mark.parametrize("view", DRAWS)
def test_a_frame_looks_the_same_alone_as_among_others(view):
    frames, clips, draw = noise(12), np.repeat(np.arange(4), 3), DRAWS[view](CONFIG, 4, 7)
    together = augment(frames, clips, draw)
    alone = [augment(frames[i : i + 1], clips[i : i + 1], draw) for i in range(12)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_weak_draws_keep_to_their_limits_and_use_them():
    draw = weak_draw(AugmentConfig(scale=0.1, translate=0.05), 4000, 0)
    turn = draw.theta[..., :2]
    area = np.linalg.det(turn)
    degrees = np.rad2deg(np.arctan2(turn[:, 1, 0], turn[:, 1, 1]))
    shift = np.linalg.solve(turn, draw.theta[..., 2:])[..., 0] / 2
    assert 0.47 < np.mean(area < 0) < 0.53
    assert 14.5 < np.abs(degrees).max() <= 15
    assert 0.09 < np.abs(1 / np.sqrt(np.abs(area)) - 1).max() <= 0.1 + 1e-9
    assert 0.049 < np.abs(shift).max() <= 0.05 + 1e-9
    brightness = draw.colour[:, 0, :3].sum(1) * 255 * STD[0]  # what grey comes to, factors folded
    contrast = 1 - draw.colour[:, 0, 2] * 255 * STD[0] / brightness
    saturation = draw.colour[:, 0, 0] * 255 * STD[0] / brightness / contrast
    for factor in (brightness, contrast, saturation):
        assert 0.8 <= factor.min() < 0.81
        assert 1.19 < factor.max() <= 1.2


def test_strong_draws_take_every_operation_equally_often_within_its_range():
    draw = strong_draw(CONFIG, 4200, 0)
    assert np.all(np.abs(np.bincount(draw.ops.ravel(), minlength=14) - 600) < 110)
    for kind, op in enumerate(ops.POOL):
        used = draw.magnitudes[draw.ops == kind]
        room = (op.high - op.low) * 0.05
        assert op.low <= used.min() <= op.low + room
        assert op.high - room <= used.max() <= op.high
    sides = draw.boxes[:, 2:] - draw.boxes[:, :2]
    assert 0.24 < sides.max() <= 0.25 + 1e-9
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])


@pytest.mark.parametrize("factors", [(1.2, 1, 1), (1, 0.8, 1), (1, 1, 1.2), (0.85, 1.15, 0.9)])
def test_colour_jitter_agrees_with_torchvision_step_by_step(factors):
    frames = waves()
    image = reference(frames).double() / 255
    image = tv.adjust_brightness(image, factors[0])
    image = tv.adjust_contrast(image, factors[1])
    expected = tv.adjust_saturation(image, factors[2]) * 255
    assert 0 < expected.min() < expected.max() < 255, "clipping would hide the comparison"
    np.testing.assert_allclose(shown(frames, made(factors=factors)), expected, atol=0.05)


def test_each_frame_turns_contrast_about_its_own_mean():
    dark, bright = torch.full((2, 8, 8, 3), 40, dtype=torch.uint8), noise(1, 8)
    draw = made(factors=(1, 0.5, 1))
    found = shown(torch.cat([dark, bright]), draw)
    np.testing.assert_allclose(found[0], 40, atol=1e-3)


@pytest.mark.parametrize("degrees", [-15.0, 7.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_flip_and_turn_agree_with_torchvision(degrees, mirrored):
    frames = waves()
    image = reference(frames).double()
    image = tv.horizontal_flip(image) if mirrored else image
    expected = tv.rotate(image, degrees, interpolation=InterpolationMode.BILINEAR)
    flip = ops.affine(xx=-1.0 if mirrored else 1.0)
    found = shown(frames, made(warp=flip @ ops.rotation(np.array([degrees]))))
    inside = (..., slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.05)


@pytest.mark.parametrize(
    ("name", "size", "affine"),
    [
        ("translate_x", 0.25, {"translate": [16, 0]}),
        ("translate_y", -0.25, {"translate": [0, -16]}),
        ("shear_x", 0.2, {"shear": [np.rad2deg(np.arctan(0.2)), 0.0]}),
        ("shear_y", 0.2, {"shear": [0.0, np.rad2deg(np.arctan(0.2))]}),
        ("rotate", 12.0, {"angle": -12.0}),
    ],
)
def test_warps_of_the_pool_agree_with_torchvision(name, size, affine):
    frames = waves()
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    bilinear = InterpolationMode.BILINEAR
    expected = tv.affine(reference(frames).double(), **(still | affine), interpolation=bilinear)
    warp = ops.pool_warps(np.array([NAMES.index(name)]), np.array([size]))
    found = shown(frames, made(warp=warp))
    inside = (..., slice(18, -18), slice(18, -18))
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.05)


def test_what_comes_in_from_outside_continues_the_border():
    frames = waves()
    found = shown(frames, made(warp=ops.shift_x(np.array([0.25]))))
    edge = reference(frames)[..., :1].double().expand(-1, -1, -1, 16)
    np.testing.assert_allclose(found[..., :16], edge, atol=1e-3)


REFERENCES = {
    "autocontrast": (0.0, lambda x: tv.autocontrast(x)),
    "brightness": (0.3, lambda x: tv.adjust_brightness(x, 0.3)),
    "colour": (0.3, lambda x: tv.adjust_saturation(x, 0.3)),
    "contrast": (0.3, lambda x: tv.adjust_contrast(x, 0.3)),
    "identity": (0.0, lambda x: x),
    "sharpness": (0.3, lambda x: tv.adjust_sharpness(x, 0.3)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_enhancements_agree_with_torchvision(name):
    size, operation = REFERENCES[name]
    frames = (noise() // 2 + 30).to(torch.uint8)
    expected = operation(reference(frames).double() / 255) * 255
    np.testing.assert_allclose(shown(frames, made(applied=[(name, size)])), expected, atol=0.05)


@pytest.mark.parametrize(
    ("name", "size", "operation"),
    [
        ("equalize", 0.0, tv.equalize),
        ("posterize", 4.7, lambda x: tv.posterize(x, 4)),
        ("posterize", 8.9, lambda x: x),
        ("solarize", 100.0, lambda x: tv.solarize(x, 100)),
    ],
)
@pytest.mark.parametrize("frames", [noise(), noise() // 9 + 100, waves()], ids="ABC")
def test_operations_on_whole_levels_agree_with_torchvision(name, size, operation, frames):
    expected = operation(reference(frames)).double()
    np.testing.assert_allclose(shown(frames, made(applied=[(name, size)])), expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_frame_stays_finite(name):
    op = ops.POOL[NAMES.index(name)]
    frames = torch.full((2, 8, 8, 3), 77, dtype=torch.uint8)
    found = shown(frames, made(applied=[(name, op.high), (name, op.low)]))
    assert torch.isfinite(found).all()
    if name in {"autocontrast", "equalize", "colour", "contrast", "sharpness"}:
        np.testing.assert_allclose(found, 77, atol=1e-3)


def test_operations_act_in_the_order_drawn():
    frames = noise()
    one, other = ("solarize", 100.0), ("brightness", 0.4)
    image = reference(frames).double()
    inverted = torch.where(image >= 100, 255 - image, image)
    darkened = image * 0.4
    first = shown(frames, made(applied=[one, other]))
    second = shown(frames, made(applied=[other, one]))
    np.testing.assert_allclose(first, inverted * 0.4, atol=1e-3)
    np.testing.assert_allclose(
        second, torch.where(darkened >= 100, 255 - darkened, darkened), atol=1e-3
    )


def test_a_batch_of_many_operations_equals_its_frames_one_by_one():
    frames, draw = noise(28), strong_draw(CONFIG, 28, 11)
    assert set(draw.ops.ravel()) == set(range(14)), "the draw shall use the whole pool"
    together = augment(frames, np.arange(28), draw)
    for i, (frame, kinds, sizes) in enumerate(zip(frames, draw.ops, draw.magnitudes, strict=True)):
        pixels = frame.permute(2, 0, 1)[None].float()
        for kind, size in zip(kinds, sizes, strict=True):
            operation = ops.POOL[kind].pixels
            if operation is not None:
                pixels = operation(pixels, torch.full((1, 1, 1, 1), size, dtype=torch.float32))
        rows = Draw(*(value[i : i + 1] for value in vars(draw).values()))
        bare = Draw(rows.theta, rows.colour, rows.ops[:, :0], rows.magnitudes[:, :0], rows.boxes)
        whole = pixels.round().byte().permute(0, 2, 3, 1)
        alone = augment(whole, np.array([0]), bare)
        np.testing.assert_allclose(together[i : i + 1], alone, atol=0.02)


def test_warps_of_a_strong_draw_follow_the_weak_one_in_order():
    config = AugmentConfig(flip=1, rotate=0, brightness=0, contrast=0, saturation=0, cutout=0)
    order = [NAMES.index("rotate"), NAMES.index("translate_x")]
    draw = strong_draw(config, 1000, 4)
    frames, inside = waves(), (..., slice(22, -22), slice(22, -22))
    clips = np.flatnonzero((draw.ops == order).all(axis=1))
    assert len(clips) > 1
    for degrees, share, theta in zip(*draw.magnitudes[clips].T, draw.theta[clips], strict=True):
        found = shown(frames, made(warp=np.vstack([theta, [0, 0, 1]])[None]))
        image = tv.horizontal_flip(reference(frames).double())
        image = tv.rotate(image, degrees, interpolation=InterpolationMode.BILINEAR)
        left = {"angle": 0.0, "translate": [share * 64, 0.0], "scale": 1.0, "shear": [0.0]}
        expected = tv.affine(image, **left, interpolation=InterpolationMode.BILINEAR)
        np.testing.assert_allclose(found[inside], expected[inside], atol=1)


def test_cutout_fills_its_box_with_the_mean_colour_and_leaves_the_rest():
    frames = noise(3, side=16)
    clips, box = np.zeros(3, dtype=np.int64), (0.27, 0.49, 0.53, 0.74)
    views = augment(frames, clips, made(box=box))
    plain = augment(frames, clips, made())
    hole = torch.zeros(16, 16, dtype=torch.bool)
    hole[8:12, 4:8] = True
    assert (views[..., hole] == 0).all()
    assert torch.equal(views[..., ~hole], plain[..., ~hole])


def blob(point, side=64):
    y, x = np.mgrid[:side, :side] + 0.5
    value = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 8)
    return torch.from_numpy(value.round().astype(np.uint8))[..., None].expand(-1, -1, 3)


def test_landmarks_land_where_the_image_puts_them():
    rng = np.random.default_rng(3)
    points = rng.uniform(24, 40, (40, 1, 2)).astype(np.float32)
    geometry = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "cutout": 0.0}
    config = AugmentConfig(scale=0.1, translate=0.1, **geometry)
    draw = strong_draw(config, 20, 9)
    warps_only = Draw(draw.theta, draw.colour, draw.ops[:, :0], draw.magnitudes[:, :0], draw.boxes)
    clips = np.repeat(np.arange(20), 2)
    views = augment(torch.stack([blob(point[0]) for point in points]), clips, warps_only)
    moved = move_landmarks(points, clips, warps_only, mirror=np.array([0]), side=64)[:, 0]
    seen = (moved > 1).all(1) & (moved < 63).all(1)
    assert seen.sum() > 25
    brightest = views[:, 0].flatten(1).argmax(1).numpy()
    found = np.stack([brightest % 64, brightest // 64], axis=1) + 0.5
    assert np.abs(found - moved)[seen].max() < 1.0
    assert np.abs(moved - points[:, 0]).max() > 5


def test_a_mirrored_face_has_its_points_swapped():
    points = np.random.default_rng(0).uniform(0, 64, (2, 68, 2)).astype(np.float32)
    points[0, 5] = np.nan
    draw = weak_draw(CONFIG, 8, 0)
    theta = np.where(np.arange(8)[:, None, None] % 2, np.diag([-1.0, 1.0, 1.0])[:2], np.eye(3)[:2])
    draw = dataclasses.replace(draw, theta=theta)
    moved = move_landmarks(points, np.array([6, 3]), draw, mirror=MIRROR_68, side=64)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[0], points[0], atol=1e-4)
    left_brow, right_brow = slice(17, 22), slice(26, 21, -1)
    np.testing.assert_allclose(moved[1, left_brow, 0], 64 - points[1, right_brow, 0], atol=1e-4)
    np.testing.assert_allclose(moved[1, left_brow, 1], points[1, right_brow, 1], atol=1e-4)


@pytest.mark.parametrize("view", DRAWS)
def test_reduced_precision_around_it_changes_nothing(view):
    frames, draw = noise(), DRAWS[view](CONFIG, 4, 2)
    expected = augment(frames, np.arange(4), draw)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = augment(frames, np.arange(4), draw)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("view", DRAWS)
def test_no_frames_give_no_views(view):
    nothing = noise()[:0]
    for clips in (0, 3):
        views = augment(nothing, np.zeros(0, dtype=np.int64), DRAWS[view](CONFIG, clips, 0))
        assert views.shape == (0, 3, 24, 24)
    assert normalise(nothing).shape == (0, 3, 24, 24)


@pytest.mark.parametrize(
    "frames", [noise().float(), noise()[:, :12], noise().permute(0, 3, 1, 2), noise()[0]]
)
def test_frames_of_the_wrong_form_are_refused(frames):
    with pytest.raises(ValueError, match=r"must be \(N, S, S, 3\) uint8"):
        normalise(frames)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("flip", 1.5),
        ("rotate", -1.0),
        ("cutout", 2.0),
        ("scale", 1.0),
        ("strong_ops", -1),
        ("brightness", float("nan")),
    ],
)
def test_a_knob_out_of_range_is_named(key, value):
    with pytest.raises(UsageError, match=rf"augment\.{key}={value}: it takes (0 to|a number)"):
        override_fields(AugmentConfig(), {key: value}, "augment")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("view", DRAWS)
def test_the_device_does_not_change_a_view(view):
    frames, clips = noise(60, 64), np.repeat(np.arange(20), 3)
    draw = DRAWS[view](CONFIG, 20, 13)
    on_device = augment(frames.cuda(), clips, draw).cpu()
    expected = augment(frames, clips, draw)
    close = torch.isclose(on_device, expected, atol=1e-3, rtol=0).float().mean()
    assert close > 0.999  # a threshold (solarize, a level of equalize) may fall the other way
