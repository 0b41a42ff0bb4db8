"""The page of a detection: a player with its timeline, events, backgrounds, pictures, measures."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sfumato.data import DataError, encode_jpeg, open_video
from sfumato.report import page
from sfumato.report.environment import environment
from sfumato.video import Event, EventRules, FrameScore, find_events, threshold_of
from sfumato.video.recording import OVERLAY

# Pictures that the player has beside those of the events, and how wide they are.
N_PICTURES, PICTURE_WIDTH = 240, 320
# Events with a row of their own.
N_EVENTS = 200
# Points of the timeline: a screen is not wider.
N_STRETCHES = 4000
# Where the folder of a detection keeps the pictures of some frames.
PANELS = "frames.png"

STYLE = """<style>
.player img { width: min(100%, 44rem); display: block; border-radius: 4px; background: #000; }
.player canvas { width: min(100%, 44rem); height: 5rem; display: block; cursor: crosshair;
                 margin: .4rem 0; }
.player button { font: inherit; color: var(--accent); background: none; cursor: pointer;
                 border: 1px solid var(--line); border-radius: 4px; padding: .15rem .8rem; }
tr.event { cursor: pointer; } tr.event:hover { background: #8c4a2f22; }
tr.event img { width: 8rem; }
</style>"""

SCRIPT = """<script>
addEventListener('DOMContentLoaded', () => {
const data = JSON.parse(document.getElementById('detection').textContent);
const picture = document.getElementById('picture'), line = document.getElementById('timeline');
const label = document.getElementById('when'), button = document.getElementById('play');
let now = 0, timer = null;
const first = data.times[0], length = Math.max(data.times.at(-1) - first, 1e-9);
const most = Math.max(...data.scores, data.threshold * 1.2, 1e-9);
const x = t => (t - first) / length * line.width;
function draw() {
  line.width = line.clientWidth * devicePixelRatio;
  line.height = line.clientHeight * devicePixelRatio;
  const c = line.getContext('2d'), h = line.height, style = getComputedStyle(document.body);
  c.fillStyle = '#8c4a2f33';
  for (const e of data.events) c.fillRect(x(e.start), 0, Math.max(x(e.end) - x(e.start), 3), h);
  c.strokeStyle = style.color; c.lineWidth = devicePixelRatio; c.beginPath();
  data.scores.forEach((s, i) => c.lineTo(x(data.times[i]), h - s / most * h * .95));
  c.stroke(); c.strokeStyle = '#8c4a2f'; c.setLineDash([4, 4]); c.beginPath();
  c.moveTo(0, h - data.threshold / most * h * .95);
  c.lineTo(line.width, h - data.threshold / most * h * .95); c.stroke(); c.setLineDash([]);
  c.beginPath(); c.moveTo(x(data.kept[now]), 0); c.lineTo(x(data.kept[now]), h); c.stroke();
}
const source = i => 'data:image/jpeg;base64,' + data.pictures[i];
function show(i) {
  if (!data.pictures.length) return draw();
  now = Math.max(0, Math.min(i, data.pictures.length - 1));
  picture.src = source(now);
  label.textContent = data.kept[now].toFixed(2) + ' s';
  draw();
}
function seek(t) {
  let best = 0;
  data.kept.forEach((k, i) => { if (Math.abs(k - t) < Math.abs(data.kept[best] - t)) best = i; });
  show(best);
}
function stop() { clearInterval(timer); timer = null; button.textContent = 'Play'; }
button.onclick = () => {
  if (timer) return stop();
  button.textContent = 'Pause';
  timer = setInterval(() => show((now + 1) % data.pictures.length), 100);
};
line.onclick = e => { stop(); seek(first + e.offsetX / line.clientWidth * length); };
document.querySelectorAll('tr.event').forEach(row => {
  const i = Number(row.dataset.picture);
  row.querySelector('img').src = source(i);
  row.onclick = () => { stop(); show(i); picture.scrollIntoView(); };
});
addEventListener('resize', draw);
show(0);
});
</script>"""


def detection_page(
    folder: Path, summary: Mapping[str, object], scores: Sequence[FrameScore], rules: EventRules
) -> str:
    """Return the page of a detection, its pictures taken from what the folder holds.

    Parameters
    ----------
    folder : Path
        With the overlay, and the pictures of some frames if there are any.
    summary : mapping
        Of the detection.
    scores : sequence of FrameScore
    rules : EventRules
    """
    events = find_events(scores, rules)
    shown = sorted(events, key=lambda event: -event.peak_score)[:N_EVENTS]
    shown.sort(key=lambda event: event.start)
    pictures = overlay_pictures(folder / OVERLAY, _positions(scores, shown))
    content = {"Player": player(scores, events, pictures, threshold_of(scores, rules))}
    content["Events"] = event_table(shown, scores, list(pictures))
    if len(shown) < len(events):
        content["Events"] += page.paragraph(
            f"The {N_EVENTS} largest of {len(events)} events; events.csv holds all.", "note"
        )
    if (folder / PANELS).exists():
        caption = "Some of the frames, and what was made of them"
        content["Pictures"] = page.inline((folder / PANELS).read_bytes(), caption)
    content["Summary"] = page.pairs({name: _short(value) for name, value in summary.items()})
    content["Environment"] = page.pairs(environment())
    lead = (
        f"{summary['frames']} frames of {summary['width']} x {summary['height']} pixels, "
        f"{len(events)} event{'' if len(events) == 1 else 's'}, found without labels. A click on "
        "the timeline or an event shows that moment."
    )
    return page.render(f"sfumato: {summary['video']}", lead, content)


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def _positions(scores: Sequence[FrameScore], events: Sequence[Event]) -> list[int]:
    """Return the places in the table of the frames that are shown: spread, and every peak."""
    peaks = {event.peak_frame for event in events}
    spread = np.linspace(0, len(scores) - 1, min(N_PICTURES, len(scores))).round().astype(int)
    return sorted({i for i, s in enumerate(scores) if s.index in peaks} | set(spread.tolist()))


def overlay_pictures(overlay: Path, positions: Sequence[int]) -> dict[int, bytes]:
    """Return frames of a clip as small JPEG files, by their positions in it.

    Parameters
    ----------
    overlay : Path
    positions : sequence of int
        Ascending.
    """
    found: dict[int, bytes] = {}
    try:
        video = open_video(overlay)
    except DataError:
        # A page without pictures is better than none.
        return found
    for frame in video.at([i for i in positions if i < (video.n_frames or 0)]):
        step = max(1, round(frame.image.shape[1] / PICTURE_WIDTH))
        found[frame.index] = encode_jpeg(frame.image[::step, ::step], 70)
    return found


def player(
    scores: Sequence[FrameScore],
    events: Sequence[Event],
    pictures: Mapping[int, bytes],
    threshold: float,
) -> str:
    """Return the player: pictures, the timeline of the score, and what drives them.

    Parameters
    ----------
    scores : sequence of FrameScore
    events : sequence of Event
    pictures : mapping of positions in ``scores`` to JPEG bytes
    threshold : float
        Of the score of a frame with an event.
    """
    drawn = _timeline(scores)
    data = {
        "times": [round(s.time, 3) for s in drawn],
        "scores": [round(s.score, 5) for s in drawn],
        "events": [{"start": e.start, "end": e.end} for e in events],
        "threshold": threshold,
        "kept": [round(scores[i].time, 3) for i in pictures],
        "pictures": [b64encode(picture).decode() for picture in pictures.values()],
    }
    return (
        f'{STYLE}<div class="player"><img id="picture" alt="Frame with what changed in colour">'
        '<canvas id="timeline" aria-label="Share of the frame that changed, over time"></canvas>'
        '<button id="play">Play</button> <span id="when" class="note"></span></div>'
        f'<script type="application/json" id="detection">{json.dumps(data)}</script>{SCRIPT}'
    )


def _timeline(scores: Sequence[FrameScore]) -> list[FrameScore]:
    """Return the highest score of each stretch: as many stretches as can be told apart."""
    edges = np.linspace(0, len(scores), min(N_STRETCHES, len(scores)) + 1).astype(int)
    return [max(scores[a:b], key=lambda s: s.score) for a, b in pairwise(edges.tolist())]


def event_table(
    events: Sequence[Event], scores: Sequence[FrameScore], positions: Sequence[int]
) -> str:
    """Return the events as rows that the player follows when they are clicked.

    Parameters
    ----------
    events : sequence of Event
    scores : sequence of FrameScore
    positions : sequence of int
        Of the pictures that the player has, in ``scores``.
    """
    if not events:
        return page.paragraph("No event was found.", "note")
    heads = ("", "start s", "end s", "peak s", "largest px", "peak %", "box")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    pictures = {scores[position].index: k for k, position in enumerate(positions)}
    body = "".join(_event_row(event, pictures.get(event.peak_frame)) for event in events)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _event_row(event: Event, picture: int | None) -> str:
    box = "" if event.box is None else "{2} x {3} at {0}, {1}".format(*event.box)
    cells = [
        f"{event.start:.2f}",
        f"{event.end:.2f}",
        f"{event.peak_time:.2f}",
        str(event.area),
        f"{100 * event.peak_score:.2f}",
        box,
    ]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    if picture is None:
        return f"<tr><td></td>{numbers}</tr>"
    return f'<tr class="event" data-picture="{picture}"><td><img alt=""></td>{numbers}</tr>'


def panels(rows: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Draw rows of pictures, each with the same headings.

    Parameters
    ----------
    rows : sequence of mappings of headings to arrays of shape (h, w) or (h, w, 3)
    """
    headings = list(rows[0])
    height, width = next(iter(rows[0].values())).shape[:2]
    size = (2.4 * len(headings), 0.25 + 2.4 * height / width * len(rows))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(len(rows), len(headings), squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        for panel, heading in zip(axes, headings, strict=True):
            panel.imshow(row[heading], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.axis("off")
    for panel, heading in zip(grid[0], headings, strict=True):
        panel.set_title(heading, fontsize=9)
    return figure
