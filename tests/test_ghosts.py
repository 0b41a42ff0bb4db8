"""Objects that stand for long: told from the background by outlines, planted and found."""

import numpy as np
import pytest
import torch

from sfumato.video import BackgroundModel
from sfumato.video import fitting as fitting_module
from sfumato.video.candidates import Candidates
from sfumato.video.ghosts import (
    MAX_STEP,
    MIN_STEP,
    _with_rim,
    changing_together,
    outline_step,
    without_objects,
)

N, SIZE = 60, (48, 64)
# Of different sizes, so that one comes first.
OBJECT, BESIDE = (slice(14, 40), slice(22, 36)), (slice(14, 30), slice(42, 56))


def filmed(present, box, seed=0):
    """Return frames of a smooth scene with an object in a box where ``present``, and the scene."""
    rng = np.random.default_rng(seed)
    red, green = np.linspace(60, 120, SIZE[1]), np.linspace(150, 90, SIZE[0])[:, None]
    scene = np.stack([np.broadcast_to(c, SIZE) for c in (red, green, 140.0)], axis=2)
    frames = np.repeat(scene[None], len(present), axis=0)
    frames[(present, *box)] = (30.0, 60.0, 220.0)
    return np.rint(frames + rng.normal(0, 1.5, frames.shape)).astype(np.uint8), scene


def standing(start, end):
    share = np.arange(N) / N
    return (share >= start) & (share < end)


@pytest.mark.parametrize(("start", "end"), [(0, 0.6), (0, 0.7), (0.4, 1), (0.2, 0.8)])
def test_what_stood_for_most_of_the_time_is_not_the_background(start, end):
    frames, scene = filmed(standing(start, end), OBJECT)
    found = BackgroundModel().fit(frames).background_
    # 15 levels are ten deviations of the noise; the median is 80 levels off in the whole box.
    assert (np.abs(found - scene) < 15).all()
    assert (np.abs(np.median(frames, axis=0) - scene)[OBJECT].max(axis=2) > 60).all()


def test_without_the_outlines_it_would_be(monkeypatch):
    frames, scene = filmed(standing(0, 0.7), OBJECT)
    monkeypatch.setattr(
        fitting_module, "without_objects", lambda candidates, choice, weight: choice
    )
    found = BackgroundModel().fit(frames).background_
    assert (np.abs(found - scene)[OBJECT].max(axis=2) > 60).mean() > 0.5


def test_what_never_leaves_is_background():
    frames, _ = filmed(standing(0, 1), OBJECT)
    found = BackgroundModel().fit(frames).background_
    inside = (slice(15, 39), slice(23, 35))
    assert (np.abs(found - np.median(frames, axis=0))[inside] < 15).all()


def planted(*visits):
    """Return candidates, scene mode 0 and object mode 1, with an object for each pair given."""
    scene = torch.full((3, *SIZE), 100.0)
    shown = torch.zeros(N, *SIZE, dtype=torch.uint8)
    for present, box in visits:
        shown[(torch.from_numpy(np.flatnonzero(present)), *box)] = 1
    return Candidates(torch.stack([scene, torch.full((3, *SIZE), 180.0)]), shown)


def test_objects_that_come_at_different_times_are_different_parts():
    times = {"object": standing(0, 0.5), "beside": standing(0.25, 0.75)}
    boxes = {"object": OBJECT, "beside": BESIDE}
    candidates = planted(*((times[name], boxes[name]) for name in times))
    one, two = torch.zeros(SIZE, dtype=torch.long), torch.ones(SIZE, dtype=torch.long)
    contested = torch.zeros(SIZE, dtype=torch.bool)
    for box in boxes.values():
        contested[box] = True
    found = list(changing_together(contested, candidates.shown, one, two))
    assert len(found) == 2
    for (part, side), name in zip(found, times, strict=True):
        # Opening a mask takes the four corners of a box.
        assert part.sum() == part[boxes[name]].sum() == contested[boxes[name]].sum() - 4
        present = times[name]
        assert (side[present] == side[present][0]).all()
        assert (side[~present] == -side[present][0]).all()


def test_what_keeps_changing_is_no_object():
    candidates = planted((np.arange(N) % 5 < 3, OBJECT))
    weight = torch.ones(N, *SIZE)
    choice = torch.zeros(2, *SIZE)
    choice[0] = 1
    choice[(slice(None), *OBJECT)] = torch.tensor([0.0, 1.0])[:, None, None]
    assert (without_objects(candidates, choice, weight) == choice).all()
    # The same shares of time at a stretch are those of an object.
    candidates = planted((standing(0, 0.6), OBJECT))
    assert (without_objects(candidates, choice, weight).argmax(0) == 0).all()


@pytest.mark.parametrize(("share", "swapped"), [(0.55, False), (0.75, True)])
def test_where_outlines_are_alike_only_much_more_time_changes_the_choice(share, swapped):
    # Left of the region the scene has one of its colours and right of it the other.
    candidates = planted((standing(0, share), OBJECT))
    right = torch.arange(SIZE[1]) >= 29
    candidates.colours[0, :, :, right] = 180.0
    candidates.colours[0][(slice(None), *OBJECT)] = 100.0
    choice = torch.zeros(2, *SIZE)
    choice[0] = 1
    found = without_objects(candidates, choice, torch.ones(N, *SIZE)).argmax(0)
    # log(0.55 / 0.45) = 0.2 is less than MARGIN = 0.3, and log(3) = 1.1 is more.
    assert bool((found[OBJECT] == 1).float().mean() > 0.9) == swapped


def test_a_rim_is_two_pixels_wide_and_holes_are_filled():
    ring = torch.zeros(SIZE, dtype=torch.bool)
    ring[20:32, 20:32] = True
    ring[25:27, 25:27] = False
    wide = _with_rim(ring)
    assert wide[20:32, 20:32].all()
    assert wide[18:34, 20:32].all()
    # The corners are cut off: the rim grows by the four sides of a pixel.
    assert wide.sum() == 16 * 16 - 4 * 3


@pytest.mark.parametrize("height", [10.0, 33.0])
def test_the_step_across_an_outline_is_the_height_of_the_object(height):
    region, wide = torch.zeros(SIZE, dtype=torch.bool), torch.zeros(SIZE, dtype=torch.bool)
    region[20:30, 20:30] = True
    wide[18:32, 18:32] = True
    flat = torch.full((3, *SIZE), 90.0)
    assert outline_step(flat + height, flat, region, wide) == pytest.approx(height)
    assert outline_step(flat, flat, region, wide) == MIN_STEP
    assert outline_step(flat + 200, flat, region, wide) == MAX_STEP


def test_a_region_that_fills_the_image_has_no_outline():
    everything = torch.ones(SIZE, dtype=torch.bool)
    flat = torch.full((3, *SIZE), 90.0)
    assert outline_step(flat + 200, flat, everything, everything) == MIN_STEP
