"""The loader: paired views, nothing but key frames' labels, what `Needs` asks and no more."""

from __future__ import annotations

import numpy as np
import torch

from bench.training.augment import normalise
from methods._base import Needs
from tests.helpers import fakes as toys

IMAGE = Needs()
WEAK = Needs(clip_len=5, key="cyclic", unlabelled_ratio=4)
BOTH = Needs(clip_len=5, key="cyclic", views=("weak", "strong"), unlabelled_ratio=4)
CLIPS = Needs(clip_len=5, key="cyclic", key_view="weak2", clips=True)


def test_methods_of_different_needs_see_the_same_key_frames_bit_for_bit():
    for step in range(3):
        batches = [toys.loader(needs=needs).batch(step)[0] for needs in (IMAGE, WEAK, BOTH)]
        assert torch.equal(batches[0].key, batches[1].key)
        assert torch.equal(batches[0].key, batches[2].key)
        assert torch.equal(batches[0].labels, batches[2].labels)


def test_the_unlabelled_frames_of_two_methods_are_the_same_bit_for_bit():
    first, _ = toys.loader(needs=WEAK).batch(4)
    second, _ = toys.loader(needs=BOTH).batch(4)
    assert torch.equal(first.unlabelled["weak"], second.unlabelled["weak"])
    assert first.unlabelled["weak"].shape == second.unlabelled["strong"].shape
    assert not torch.equal(second.unlabelled["weak"], second.unlabelled["strong"])


def test_a_clip_s_own_key_frame_is_seen_in_another_draw():
    batch, _ = toys.loader(needs=CLIPS).batch(3)
    clips = batch.clips["weak"]
    assert clips.shape == (4, 5, 3, toys.SIDE, toys.SIDE)
    assert batch.slot == 3
    image_batch, _ = toys.loader(needs=IMAGE).batch(3)
    assert torch.equal(clips[:, batch.slot], image_batch.key)
    assert not torch.equal(clips[:, batch.slot], batch.key)


def test_a_batch_gives_what_was_asked_for_and_no_more():
    batch, hidden = toys.loader(needs=IMAGE).batch(0)
    assert (batch.clips, batch.unlabelled, batch.landmarks) == ({}, {}, None)
    assert len(hidden.labels) == 0


def test_labels_are_those_of_the_key_frames():
    loader = toys.loader()
    batch, _ = loader.batch(0)
    keys = loader.sampler.indices(0).keys
    assert torch.equal(batch.labels, torch.from_numpy(toys.table().labels[keys]).float())


def test_hidden_labels_stand_in_the_order_of_the_frames_they_belong_to():
    loader = toys.loader()
    batch, hidden = loader.batch(2)
    extra = loader.sampler.indices(2).extra
    assert np.array_equal(hidden.labels, toys.table().labels[extra])
    assert len(hidden.labels) == len(batch.unlabelled["weak"])


def test_labelled_frames_of_a_clip_have_no_hidden_label():
    loader = toys.loader(needs=CLIPS)
    _, hidden = loader.batch(1)
    labelled = np.isin(loader.sampler.indices(1).extra, toys.KEYS)
    assert (hidden.labels[labelled] == -1).all()
    assert (hidden.labels[~labelled] >= 0).all()
    assert labelled.sum() >= 4


def test_the_global_random_stream_is_not_touched():
    before = torch.get_rng_state()
    toys.loader().batch(5)
    assert torch.equal(before, torch.get_rng_state())


def test_landmarks_move_with_the_key_frames_and_know_their_mirror():
    rng = np.random.default_rng(0)
    frames = toys.table()
    marks = rng.uniform(4, 12, (59, 68, 2)).astype(np.float32)
    frames = type(frames)(frames.labels, frames.first, frames.last, marks)
    loader = toys.loader(frames, needs=Needs(landmarks=True))
    batch, _ = loader.batch(0)
    assert batch.landmarks is not None
    assert batch.landmarks.shape == (4, 68, 2)
    original = torch.from_numpy(marks[loader.sampler.indices(0).keys])
    # turning and mirroring keep the distances to the centre of the image
    centre = torch.tensor([8.0, 8.0])
    radii = [
        (points - centre).norm(dim=-1).sort(dim=1).values for points in (batch.landmarks, original)
    ]
    assert torch.allclose(radii[0], radii[1], atol=1e-4)


def test_pixels_are_gathered_in_the_order_of_the_rows():
    pixels = toys.pixels()
    rows = np.array([5, 0, 58, 5])
    assert np.array_equal(pixels.gather(rows).numpy(), pixels.images[rows])
    assert normalise(pixels.gather(rows)).shape == (4, 3, toys.SIDE, toys.SIDE)


def test_known_labels_are_those_of_key_frames_only():
    needs = Needs(clip_len=5, key="cyclic", clips=True, known_labels=True)
    every_second = np.arange(0, 59, 2)
    loader = toys.loader(needs=needs)
    loader.sampler = type(loader.sampler)(
        toys.table(),
        every_second,
        np.arange(59),
        needs=needs,
        data=loader.sampler.data,
        batch_size=4,
        key=toys.STREAM_KEY,
    )
    batch, hidden = loader.batch(1)
    rows = loader.sampler.indices(1).extra.reshape(4, 5)
    assert batch.known is not None
    for clip, slot in np.ndindex(4, 5):
        row, found = rows[clip, slot], batch.known[clip, slot].numpy()
        expected = toys.table().labels[row] if row % 2 == 0 else [-1] * toys.AUS
        assert np.array_equal(found, expected)
    assert torch.equal(batch.known[:, batch.slot], batch.labels)
    # what is known is not hidden, and the other way round
    assert not ((batch.known.flatten(0, 1).numpy() >= 0) & (hidden.labels >= 0)).any()


def test_known_labels_come_only_if_asked_for():
    assert toys.loader(needs=CLIPS).batch(0)[0].known is None


def test_a_plain_view_is_the_stored_frame() -> None:
    loader = toys.loader(needs=Needs(clip_len=5, views=("plain", "weak"), unlabelled_ratio=4))
    batch, _ = loader.batch(1)
    where = loader.sampler.indices(1)
    assert torch.equal(batch.unlabelled["plain"], normalise(loader.pixels.gather(where.extra)))
    plain_key = toys.loader(needs=Needs(key_view="plain")).batch(1)[0].key
    assert torch.equal(plain_key, normalise(loader.pixels.gather(where.keys)))


def test_a_frame_of_the_pool_has_one_number_at_every_step() -> None:
    loader, rows_of_id = toys.loader(needs=WEAK), {}
    for step in range(60):
        ids = loader.batch(step)[0].ids.tolist()
        for number, row in zip(ids, loader.sampler.indices(step).extra, strict=True):
            assert rows_of_id.setdefault(number, row) == row
    assert sorted(rows_of_id) == list(range(len(loader.sampler.unlabelled_rows)))
    assert len(set(rows_of_id.values())) == len(rows_of_id)


def test_a_frame_of_a_clip_whose_label_is_paid_for_has_no_number() -> None:
    loader = toys.loader(needs=CLIPS)
    batch, _ = loader.batch(3)
    labelled = loader.sampler.labelled[loader.sampler.indices(3).extra]
    assert labelled.any()
    assert ((batch.ids.numpy() == -1) == labelled).all()
    assert toys.loader(needs=IMAGE).batch(0)[0].ids is None


def test_a_step_of_labelled_frames_only_has_nothing_beside_them() -> None:
    for needs in (BOTH, CLIPS):
        alone, hidden = toys.loader(needs=needs).batch(4, labelled_only=True)
        whole, _ = toys.loader(needs=needs).batch(4)
        assert torch.equal(alone.key, whole.key)
        assert torch.equal(alone.labels, whole.labels)
        assert (len(hidden.labels), len(alone.ids), alone.clips) == (0, 0, {})
        assert all(len(frames) == 0 for frames in alone.unlabelled.values())
