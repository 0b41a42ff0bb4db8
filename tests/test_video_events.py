"""Events from tables of scores, and objects of masks: by hand, by graph, and by flood filling."""

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from sfumato.artifacts import ArtifactError
from sfumato.video.events import (
    Event,
    EventRules,
    FrameScore,
    calibrate,
    find_events,
    read_scores,
    write_events_csv,
    write_events_json,
    write_scores,
)
from sfumato.video.objects import largest_box, remove_objects

BUSY, QUIET = 0.2, 0.001
HALF = EventRules(threshold=0.1, merge_window=0.0)


def table(busy, times):
    """One frame a time stamp; those named are over a threshold of 0.1."""
    return [
        FrameScore(i, float(t), BUSY if i in busy else QUIET, 20 if i in busy else 1)
        for i, t in enumerate(times)
    ]


def spans(scores, rules=HALF):
    return [(event.first_frame, event.last_frame) for event in find_events(scores, rules)]


def test_an_event_tells_its_frames_times_peak_area_and_common_box():
    scores = [
        FrameScore(10, 1.0, 0.0, 0),
        FrameScore(11, 1.5, 0.2, 20, (4, 5, 2, 3)),
        FrameScore(12, 1.75, 0.5, 30, None),
        FrameScore(13, 2.0, 0.5, 40, (1, 6, 4, 10)),
        FrameScore(14, 2.5, 0.0, 0, (0, 0, 100, 100)),
    ]
    # Columns 1 to 5 and rows 5 to 15; the first of two equal peaks.
    expected = Event(1.5, 2.0, 11, 13, 1.75, 12, 0.5, 40, (1, 5, 5, 11))
    assert find_events(scores, HALF) == [expected]


def test_an_event_without_objects_has_no_box():
    assert find_events(table({2, 3}, range(5)), HALF)[0].box is None


def test_a_score_equal_to_the_threshold_is_enough():
    scores = table({2}, range(4))
    assert spans(scores, replace(HALF, threshold=BUSY)) == [(2, 2)]
    assert spans(scores, replace(HALF, threshold=np.nextafter(BUSY, 1))) == []


def test_gaps_are_measured_by_time_stamps_not_by_frames():
    # Two quiet frames in each gap, of 0.3 s and of 3 s.
    scores = table({1, 4, 7}, [0.0, 0.1, 0.2, 0.3, 0.4, 1.4, 2.4, 3.4, 4.4])
    assert spans(scores, replace(HALF, merge_window=1.0)) == [(1, 4), (7, 7)]


def test_a_gap_as_long_as_the_window_is_bridged_whatever_its_rounding():
    # In floating point the gap is longer than one second.
    assert 2.2 - 1.2 > 1.0
    scores = table({1, 3}, [0.0, 1.2, 1.7, 2.2])
    assert spans(scores, replace(HALF, merge_window=1.0)) == [(1, 3)]
    assert spans(scores, replace(HALF, merge_window=0.99)) == [(1, 1), (3, 3)]


def test_frames_next_to_each_other_are_one_event_however_long_the_pause():
    assert spans(table({1, 2}, [0.0, 0.1, 60.0, 60.1])) == [(1, 2)]


def test_the_length_counts_one_frame_more_than_the_time_stamps_span():
    # Three frames at 10 per second last 0.3 s, and a little less in floating point.
    assert 0.6 - 0.4 + 0.1 < 0.3
    scores = table({4, 5, 6}, np.arange(12) / 10)
    assert spans(scores, replace(HALF, min_length=0.3)) == [(4, 6)]
    assert spans(scores, replace(HALF, min_length=0.31)) == []


def test_short_stretches_are_joined_before_the_length_is_asked_for():
    scores = table({5, 7, 9, 25}, np.arange(40) / 10)
    assert spans(scores, EventRules(0.1, min_length=0.5, merge_window=0.2)) == [(5, 9)]


@pytest.mark.parametrize("flag", ["light_change", "learning"])
def test_a_change_of_the_light_or_a_learning_model_is_no_event(flag):
    scores = [replace(frame, **{flag: True}) for frame in table({2, 3}, range(6))]
    assert spans(scores) == []
    assert find_events(scores, EventRules()) == []


def test_a_change_of_the_light_within_an_event_does_not_tell_its_peak():
    scores = table({2, 3, 4}, range(6))
    scores[3] = replace(scores[3], score=0.9, area=900, light_change=True)
    (event,) = find_events(scores, replace(HALF, merge_window=2.0))
    assert (event.first_frame, event.last_frame) == (2, 4)
    assert (event.peak_score, event.area) == (BUSY, 20)


def test_the_first_frame_alone_is_no_event_and_starts_none():
    assert spans(table({0}, range(5))) == []
    assert spans(table({0}, [0.0])) == []
    assert spans(table({0, 2}, range(5)), replace(HALF, merge_window=2.0)) == [(2, 2)]
    assert spans(table({0, 1}, range(5))) == [(0, 1)]


def test_frames_outside_the_limits_of_the_area_do_not_count():
    scores = [replace(frame, area=10 * i) for i, frame in enumerate(table(range(6), range(6)))]
    assert spans(scores, replace(HALF, min_area=20, max_area=40)) == [(2, 4)]


def test_no_frames_have_no_events():
    assert find_events([], EventRules()) == []


def test_frames_out_of_order_are_refused():
    with pytest.raises(ValueError, match="Frame 2 is earlier than the one before it"):
        find_events(table(set(), [0.0, 2.0, 1.0]), HALF)


frames = st.builds(
    FrameScore,
    index=st.integers(0, 10**9),
    time=st.floats(-1e9, 1e9),
    score=st.floats(0, 1),
    area=st.integers(0, 10**9),
    box=st.none() | st.tuples(*[st.integers(0, 10**5)] * 4),
    light_change=st.booleans(),
    learning=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(scores=st.lists(frames, max_size=5))
def test_a_written_table_is_read_back_bit_for_bit(tmp_path_factory, scores):
    path = tmp_path_factory.getbasetemp() / "scores.csv"
    write_scores(path, scores)
    assert read_scores(path) == scores


@settings(max_examples=60, deadline=None)
@given(
    busy=st.sets(st.integers(1, 29)),
    intervals=st.lists(st.sampled_from([0.0, 0.03, 0.5, 2.0]), min_size=30, max_size=30),
    window=st.sampled_from([0.0, 0.25, 1.25]),
)
def test_events_are_the_components_of_the_graph_of_frames_close_in_time(busy, intervals, window):
    times = np.cumsum(intervals)
    over = np.array(sorted(busy), dtype=int)
    near = np.abs(times[over, None] - times[over]) <= window + 1e-9
    near |= np.abs(over[:, None] - over) == 1
    _, component = connected_components(csr_array(near)) if len(over) else (0, over)
    expected = [(c.min(), c.max()) for c in (over[component == k] for k in np.unique(component))]
    assert spans(table(busy, times), replace(HALF, merge_window=window)) == sorted(expected)


@pytest.mark.parametrize("threshold", [None, 0.003, 0.2])
def test_another_threshold_on_a_stored_table_finds_what_it_finds_directly(tmp_path, threshold):
    rng = np.random.default_rng(0)
    # At 25 frames a second on average, with jitter; three scores in four are quiet.
    times = np.cumsum(rng.exponential(0.04, size=400))
    share = rng.exponential(np.where(np.arange(400) % 100 < 25, 0.1, 0.001)).clip(max=1)
    scores = [
        FrameScore(i, t, s, int(1e4 * s), (int(t), 2, 3, 4), i == 110, i < 5)
        for i, (t, s) in enumerate(zip(times.tolist(), share.tolist(), strict=True))
    ]
    write_scores(tmp_path / "scores.csv", scores)
    rules = EventRules(threshold, merge_window=0.2)
    found = find_events(scores, rules)
    assert len(found) >= 3
    assert find_events(read_scores(tmp_path / "scores.csv"), rules) == found


def noisy(n_quiet, busy):
    quiet = np.random.default_rng(1).normal(0.01, 0.001, size=n_quiet)
    return [FrameScore(i, float(i), float(s), 1) for i, s in enumerate([*quiet, *busy])]


@settings(max_examples=30, deadline=None)
@given(busy=st.lists(st.floats(0.05, 1.0), min_size=99, max_size=99))
def test_how_busy_frames_are_does_not_move_the_threshold(busy):
    assert calibrate(noisy(101, busy)) == calibrate(noisy(101, [0.5] * 99))


@pytest.mark.parametrize("n_busy", [0, 300, 900])
def test_the_threshold_lies_between_normal_noise_and_what_stands_out(n_busy):
    scores = noisy(1000, [0.05] * n_busy)
    # 5.1 deviations over the mean without busy frames; more of the noise is in the lowest tenth,
    # and its spread is larger, the more there are: 6.6 deviations with 900.
    assert 0.0135 < calibrate(scores) < 0.018
    expected = [(1000, 999 + n_busy)] if n_busy else []
    assert spans(scores, EventRules()) == expected


def test_the_threshold_of_normal_noise_is_that_of_the_documented_equation():
    # The lowest tenth of a normal has its median at -1.6449 and a median deviation of 0.2386 from
    # it; 5 % for 20000 draws.
    expected = 0.01 + 0.001 * (-1.6449 + 19 * 1.4826 * 0.2386)
    assert calibrate(noisy(20_000, [])) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("level", [0.0, 0.01])
def test_frames_without_noise_are_quiet_at_any_level(level):
    scores = [replace(frame, score=level) for frame in table(set(), range(9))]
    assert calibrate(scores) == pytest.approx(level + 1e-4, abs=1e-15)
    assert find_events(scores, EventRules()) == []


def test_frames_that_do_not_count_have_no_say_in_the_threshold():
    scores = noisy(50, [])
    flashes = [FrameScore(i, float(i), 0.9, 9, None, i < 99, i >= 99) for i in range(50, 150)]
    assert calibrate(scores + flashes) == calibrate(scores)


def test_a_threshold_needs_a_frame_that_counts():
    with pytest.raises(ValueError, match="use a longer video or set the threshold"):
        calibrate([FrameScore(0, 0.0, 0.5, 9, learning=True)])


EVENTS = [
    Event(0.1, 1 / 3, 3, 9, 0.2, 5, 0.25, 77, (1, 2, 3, 4)),
    Event(5.0, 6.0, 50, 60, 5.5, 55, 0.125, 8, None),
]


def test_written_events_hold_every_number(tmp_path):
    write_events_csv(tmp_path / "events.csv", EVENTS)
    write_events_json(tmp_path / "events.json", EVENTS)
    rows = list(csv.DictReader((tmp_path / "events.csv").read_text().splitlines()))
    entries = json.loads((tmp_path / "events.json").read_text())
    for event, row, entry in zip(EVENTS, rows, entries, strict=True):
        sides = event.box or (None,) * 4
        expected = asdict(event) | dict(zip(("left", "top", "width", "height"), sides, strict=True))
        del expected["box"]
        assert entry == expected
        assert row == {k: "" if v is None else str(v) for k, v in expected.items()}


def test_a_video_without_events_still_gets_its_files(tmp_path):
    write_events_csv(tmp_path / "new" / "events.csv", [])
    write_events_json(tmp_path / "new" / "events.json", [])
    assert (tmp_path / "new" / "events.csv").read_text().startswith("start,end,first_frame,")
    assert json.loads((tmp_path / "new" / "events.json").read_text()) == []


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    write_scores(path, table({1}, range(3)))
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_scores(path, [])
    assert read_scores(path) == table({1}, range(3))
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(ArtifactError, match="is a folder; give the name of a file"):
        write_scores(tmp_path, [])


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b"index,time\n"])
def test_another_file_is_no_table_of_scores(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ArtifactError, match="is no table of scores; score the video again"):
        read_scores(tmp_path / "x.csv")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"Cannot read .*none\.csv \(No such file"):
        read_scores(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "line",
    [
        "1,0.1,0.5",
        "1,0.1,0.5,3,1,2,3,4,0,",
        "1,0.1,0.5,3,1,2,3,4,0,2",
        "1,0.1,0.5,3,1,2,,4,0,1",
        "1,nan,0.5,3,,,,,0,0",
        "1,0.1,1.5,3,,,,,0,0",
        "1,0.1,0.5,-3,,,,,0,0",
        "x,0.1,0.5,3,,,,,0,0",
    ],
)
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "scores.csv"
    write_scores(path, table(set(), range(1)))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ArtifactError, match="is damaged in line 3; score the video again"):
        read_scores(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.01),
        ("threshold", float("nan")),
        ("min_length", -0.1),
        ("merge_window", float("inf")),
        ("min_area", -1),
        ("max_area", 0),
    ],
)
def test_rules_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*, not {value}\."):
        EventRules(**{name: value})


def test_no_area_fits_limits_that_cross():
    with pytest.raises(ValueError, match="max_area must be at least 1 and at least min_area"):
        EventRules(min_area=10, max_area=9)


def flooded(mask):
    """Yield the objects of a mask as sets of (row, column), by filling from every pixel."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    while left:
        front, found = [min(left)], set()
        while front:
            row, column = front.pop()
            if (row, column) in left:
                left.remove((row, column))
                found.add((row, column))
                front += [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        yield found


@pytest.mark.parametrize("density", [0.0, 0.15, 0.4, 1.0])
@pytest.mark.parametrize("limits", [(0, None), (2, None), (3, 6), (1, 1)])
def test_objects_outside_the_limits_are_removed_as_by_flood_filling(density, limits):
    mask = np.random.default_rng(3).random((9, 14)) < density
    expected = np.zeros_like(mask)
    for pixels in flooded(mask):
        if limits[0] <= len(pixels) <= (limits[1] or mask.size):
            expected[tuple(np.array(list(pixels)).T)] = True
    before = mask.copy()
    kept = remove_objects(mask, *limits)
    assert kept.dtype == bool
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(mask, before)
    assert kept is not mask


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_box_holds_the_largest_flooded_object(seed):
    mask = np.random.default_rng(seed).random((9, 14)) < 0.2
    # max keeps the first of several, and the objects come in the order of reading.
    pixels = np.array(sorted(max(flooded(mask), key=len)))
    (top, left), (bottom, right) = pixels.min(0).tolist(), pixels.max(0).tolist()
    box = largest_box(mask)
    assert box == (left, top, right - left + 1, bottom - top + 1)
    assert all(type(side) is int for side in box)


def test_an_empty_mask_has_no_box():
    assert largest_box(np.zeros((4, 5), dtype=bool)) is None
