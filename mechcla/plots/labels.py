"""Labels beside points: each where it covers no other label, no point and few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.text import Annotation

Place = tuple[float, float]
Line = tuple[Place, Place]
RADII = (7.0, 13.0, 20.0, 28.0, 38.0)  # from a point to the nearer edge of its label, in points
AROUND = 16  # places at every radius
MARK = 4.0  # half of a mark's width, in points
AIR = 1.0  # on every side of a label, in points
STEPS = 25  # places at which a line is looked at


def label_points(
    axis: Axes,
    labels: Mapping[str, tuple[Place, str]],
    marks: Sequence[Place],
    lines: Sequence[Line] = (),
) -> list[Annotation]:
    """Write each label, {text: (point, colour)}, beside its point, with a thin line to it where it
    is not next to it.

    marks, lines: what labels keep off, in data coordinates. A greedy choice among places around
    the point, so the same figure has the same labels. Call it last: limits and layout are from
    then on as they are drawn.
    """
    figure = axis.get_figure(root=True)
    if figure is None:
        raise ValueError("the axis is in no figure")
    axis.set_xlim(axis.get_xlim())
    axis.set_ylim(axis.get_ylim())
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was measured stays where it is
    points = figure.dpi / 72

    def at(places: Sequence[Place]) -> Float[np.ndarray, "place 2"]:
        return np.asarray(axis.transData.transform(np.reshape(places, (-1, 2)))) / points

    taken = np.hstack([at(marks) - MARK, at(marks) + MARK])
    drawn = [_along(*at(line)) for line in lines]
    others = np.empty((0, 4))
    page = np.asarray(axis.get_window_extent().extents) / points
    written = []
    for text, (place, colour) in labels.items():
        note = axis.annotate(
            text,
            place,
            (0, 0),
            textcoords="offset points",
            fontsize=7,
            color=colour,
            ha="center",
            va="center",
            bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.6},
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": colour, "shrinkB": 4, "shrinkA": 0},
        )
        box = note.get_window_extent()
        half = np.array([box.width, box.height]) / points / 2
        offsets, radii = _offsets(half)
        centre = at([place])[0]
        there = np.hstack([centre + offsets - half - AIR, centre + offsets + half + AIR])
        leaders = np.stack([_along(centre, centre + offset) for offset in offsets])
        far = radii > RADII[0]
        size = 4 * (half + AIR).prod()
        cost = _overlaps(there, taken).sum(1) + size - _overlaps(there, page[None])[:, 0]
        if drawn:
            cost += 0.4 * _crossed(there, np.stack(drawn)).sum(1) * half[1] ** 2 * 4
        if len(others):
            led = np.stack([_crossed(others, leader[None]).sum() for leader in leaders])
            cost += far * led * size
        best = int(np.lexsort((radii, np.round(cost, 6)))[0])
        note.set_position((float(offsets[best, 0]), float(offsets[best, 1])))
        if not far[best] and note.arrow_patch is not None:
            note.arrow_patch.set_visible(False)
        taken, others = np.vstack([taken, there[best]]), np.vstack([others, there[best]])
        drawn += [leaders[best]] if far[best] else []
        written.append(note)
    return written


def _offsets(
    half: Float[np.ndarray, " xy"],
) -> tuple[Float[np.ndarray, "place 2"], Float[np.ndarray, " place"]]:
    """Centres of a label around its point, and how far its edge is from the point."""
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    radii = np.repeat(RADII, AROUND)
    return np.tile(unit, (len(RADII), 1)) * (radii[:, None] + half), radii


def _along(
    start: Float[np.ndarray, " xy"], end: Float[np.ndarray, " xy"]
) -> Float[np.ndarray, "step 2"]:
    return np.asarray(start + np.linspace(0, 1, STEPS)[:, None] * (end - start))


def _overlaps(a: Float[np.ndarray, "a 4"], b: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """The area that each box of one has in common with each of the other: left, bottom, right,
    top.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray((high - low).clip(0).prod(-1))


def _crossed(
    boxes: Float[np.ndarray, "box 4"], lines: Float[np.ndarray, "line step 2"]
) -> Float[np.ndarray, "box line"]:
    """How much of each line lies in each box: 0 to 1, which a quarter of a line's steps make."""
    at = lines[None]
    low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    inside = ((at >= low) & (at <= high)).all(-1).sum(-1)
    return np.asarray(np.minimum(1.0, 4 * inside / STEPS))
