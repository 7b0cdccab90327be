"""Labels beside points: each where it covers no other label, no point and few lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Place = tuple[float, float]
RADII = (7.0, 13.0, 20.0, 28.0, 38.0)  # points from the mark to the label's nearer edge
MARK = 4.0  # half of a mark's width, in points
STEPS = 24  # at which a line is looked at


def label_points(
    axis: Axes,
    labels: Mapping[str, tuple[Place, str]],
    marks: Sequence[Place],
    lines: Sequence[tuple[Place, Place]] = (),
) -> list[Annotation]:
    """Write each label, {text: (point, colour)}, beside its point, with a thin line where it is
    not next to it.

    marks, lines: what labels keep off, in data coordinates. A greedy choice among places around
    the point, so the same figure has the same labels. Call it last: limits and layout are as they
    will be drawn.
    """
    figure = axis.get_figure(root=True)
    if figure is None:
        raise ValueError("the axis is in no figure")
    axis.set_xlim(axis.get_xlim())
    axis.set_ylim(axis.get_ylim())
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was measured stays where it is
    points = figure.dpi / 72

    def pixels(place: Place) -> Place:
        x, y = axis.transData.transform(place)
        return float(x), float(y)

    taken = [_around(pixels(m), MARK * points) for m in marks]
    drawn = [(pixels(a), pixels(b)) for a, b in lines]
    others: list[Bbox] = []  # labels that are there
    page, written = axis.get_window_extent(), []
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
        width, height = box.width / points, box.height / points
        best = min(
            _offsets(width, height),
            key=lambda at: _cost(at, pixels(place), box, points, (taken, others, drawn), page),
        )
        note.set_position(best[:2])
        if best[2] <= RADII[0] and note.arrow_patch is not None:
            note.arrow_patch.set_visible(False)
        there = _moved(box, pixels(place), best, points)
        taken.append(there)
        others.append(there)
        if best[2] > RADII[0]:
            drawn.append((pixels(place), _middle(there)))
        written.append(note)
    return written


def _offsets(width: float, height: float) -> list[tuple[float, float, float]]:
    """Centres of a label around its point, in points, and how far its edge is from the point."""
    found = []
    for radius in RADII:
        for k in range(16):
            angle = 2 * math.pi * k / 16
            x, y = math.cos(angle), math.sin(angle)
            found.append((x * (radius + width / 2), y * (radius + height / 2), radius))
    return found


def _cost(
    at: tuple[float, float, float],
    place: Place,
    box: Bbox,
    points: float,
    drawn: tuple[Sequence[Bbox], Sequence[Bbox], Sequence[tuple[Place, Place]]],
    page: Bbox,
) -> tuple[float, float]:
    """How much a label and its line cover there, and how far it is: the first decides.

    drawn: marks and labels, labels alone, lines.
    """
    taken, others, lines = drawn
    there = _moved(box, place, at, points)
    covered = sum(_overlap(there, other) for other in taken)
    covered += there.width * there.height - _overlap(there, page)  # what stands off the axes
    crossed = sum(_crosses(line, there) for line in lines)
    if at[2] > RADII[0]:
        crossed += 10 * sum(_crosses((place, _middle(there)), other) for other in others)
    return (covered + 0.4 * crossed * there.height**2, at[2])


def _middle(box: Bbox) -> Place:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _moved(box: Bbox, place: Place, at: tuple[float, float, float], points: float) -> Bbox:
    x, y = place[0] + at[0] * points, place[1] + at[1] * points
    w, h = box.width / 2 + points, box.height / 2 + points  # a point of air on every side
    return Bbox.from_extents(x - w, y - h, x + w, y + h)


def _around(place: Place, half: float) -> Bbox:
    x, y = place
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _overlap(a: Bbox, b: Bbox) -> float:
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(wide, 0.0) * max(high, 0.0)


def _crosses(line: tuple[Place, Place], box: Bbox) -> float:
    """The share of a line that lies in a box, by steps, 1 at most."""
    (ax, ay), (bx, by) = line
    inside = 0
    for k in range(STEPS + 1):
        t = k / STEPS
        inside += bool(box.contains(ax + t * (bx - ax), ay + t * (by - ay)))
    return min(1.0, inside / 4)
