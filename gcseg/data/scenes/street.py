"""The parts of a drawn street: sky, skyline, ground, markings and buildings."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gcseg.data.scenes import ids
from gcseg.data.scenes.canvas import (
    NEAREST,
    Bytes,
    Canvas,
    Color,
    Points,
    mix,
    pick,
    scale,
    smooth_noise,
)

WALLS: tuple[Color, ...] = (
    (168, 96, 74), (204, 188, 156), (148, 144, 138), (196, 162, 104), (176, 178, 176),
    (132, 84, 66), (188, 138, 118), (150, 160, 150), (214, 206, 190), (120, 112, 106),
    (172, 150, 132), (150, 126, 140),
)  # fmt: skip
ROOFS: tuple[Color, ...] = ((122, 62, 46), (84, 76, 74), (96, 70, 58), (70, 74, 82))

_FAR = 160.0
"""Distance in metres at which the road and its sides end."""


@dataclass(frozen=True)
class Side:
    """One side of the street, from the curb outwards; widths in metres.

    Args:
        sign: Direction of the side: -1 left, 1 right.
        curb: Distance of the curb from the road's middle.
        sidewalk: Width of the sidewalk.
        verge: Width of the planted strip behind the sidewalk.
        built: Whether buildings follow; otherwise a park does.
    """

    sign: int
    curb: float
    sidewalk: float
    verge: float
    built: bool

    @property
    def sidewalk_end(self) -> float:
        """Return the distance from the road's middle to the sidewalk's outer edge."""
        return self.curb + self.sidewalk

    @property
    def building_line(self) -> float:
        """Return the distance from the road's middle to the facades."""
        return self.sidewalk_end + self.verge


def strip(left: float, right: float, near: float = NEAREST, far: float = _FAR) -> Points:
    """Return a strip of ground along the road (N x 3) between two x, bent with the road."""
    count = 24 if far - near > 20 else 4
    z = np.geomspace(near, far, count)
    edges = [np.stack([np.full(count, x), np.zeros(count), z], axis=-1) for x in (left, right)]
    return np.concatenate([edges[0], edges[1][::-1]])


def draw_sky(canvas: Canvas, rng: np.random.Generator, zenith: Color, cloudiness: float) -> None:
    """Draw a sky from the zenith's colour down to the haze, with clouds (`cloudiness` 0..1)."""
    rows = min(canvas.image.shape[0], max(2, int(canvas.camera.horizon) + 2))
    width = canvas.image.shape[1]
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    sky = np.asarray(zenith, np.float32) * (1 - down) + np.asarray(canvas.haze, np.float32) * down
    clouds = smooth_noise(rng, (rows, width), width / 9)
    clouds += 0.5 * smooth_noise(rng, (rows, width), width / 26)
    share = np.clip(clouds + 2.4 * cloudiness - 1.2, 0, 1)[..., None] * 0.7
    white = np.float32(1.0) * np.asarray(mix(canvas.haze, (244, 244, 246), 0.5), np.float32)
    canvas.image[:rows] = np.clip(sky * (1 - share) + white * share, 0, 255)
    canvas.label[:rows] = ids.SKY


def draw_skyline(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw far blocks and woods where the street ends."""
    width, camera = canvas.image.shape[1], canvas.camera
    unit = canvas.image.shape[0] / 256
    bottom = int(camera.horizon + 3 * unit)
    left = -int(rng.integers(0, 20))
    while left < width:
        step = int(rng.uniform(14, 44) * unit) + 2
        top = int(camera.horizon - rng.uniform(8, 34) * unit)
        block = np.array([(left, bottom), (left, top), (left + step, top), (left + step, bottom)])
        color = mix(pick(rng, WALLS), canvas.haze, 0.55)
        canvas.fill_pixels([block.astype(np.int32)], color, ids.BUILDING)
        left += step
    columns = np.linspace(0, width, 40)
    hills = camera.horizon - unit * (9 + 5 * smooth_noise(rng, (1, 40), 3)[0])
    outline = np.concatenate([np.stack([columns, hills], -1), [(width, bottom), (0, bottom)]])
    color = mix((62, 92, 52), canvas.haze, 0.4)
    canvas.fill_pixels([outline.astype(np.int32)], color, ids.VEGETATION)


def draw_ground(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side]) -> None:
    """Draw paving everywhere, then the sidewalks with their slabs, curbs and the road."""
    row = min(canvas.image.shape[0], max(0, int(canvas.camera.horizon)))
    slabs = pick(rng, ((178, 160, 146), (170, 156, 146), (186, 160, 138)))
    canvas.image[row:] = np.clip(scale(slabs, 0.92), 0, 255)
    canvas.label[row:] = ids.SIDEWALK
    asphalt = pick(rng, ((92, 92, 96), (78, 79, 84), (106, 102, 100)))
    # Where no verge follows, the sidewalk continues between and behind the buildings.
    for side in sides:
        end = side.sidewalk_end if side.verge else side.building_line + 1.5
        _fill_ground(canvas, strip(side.sign * side.curb, side.sign * end), slabs, ids.SIDEWALK)
        _draw_slabs(canvas, side, end, scale(slabs, 0.86))
    left, right = (side.sign * side.curb for side in sides)
    _fill_ground(canvas, strip(left, right), asphalt, ids.ROAD)
    for _ in range(int(rng.integers(0, 5))):  # mended patches
        x, z = float(rng.uniform(left, right - 1.5)), float(rng.uniform(4, 25))
        patch = strip(x, x + float(rng.uniform(0.6, 1.5)), z, z + float(rng.uniform(1, 5)))
        _fill_ground(canvas, patch, scale(asphalt, float(rng.uniform(0.8, 1.15))), ids.ROAD)
    for side in sides:
        curb = strip(side.sign * side.curb, side.sign * (side.curb + 0.18))
        _fill_ground(canvas, curb, scale(slabs, 1.14), ids.SIDEWALK)


def _fill_ground(canvas: Canvas, polygon: Points, color: Color, label_id: int) -> None:
    """Fill ground in its plain colour; `haze_ground` fades it all at once."""
    canvas.fill_pixels([canvas.camera.project(polygon)], color, label_id)


def _draw_slabs(canvas: Canvas, side: Side, end: float, color: Color) -> None:
    """Draw joints between the slabs of a sidewalk, which show its perspective."""
    near, far = side.sign * side.curb, side.sign * end
    across = [[(near, 0, z), (far, 0, z)] for z in np.arange(3.0, 24.0, 1.25)]
    along = [
        [(near + (far - near) * share, 0, z) for z in np.geomspace(NEAREST, 30, 12)]
        for share in (0.25, 0.5, 0.75)
    ]
    # A joint lies on nothing but its sidewalk, so the label needs no line.
    for lines in (across, along):
        cv2.polylines(canvas.image, list(canvas.camera.project(lines)), False, color)


def draw_markings(
    canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side], lane: float
) -> None:
    """Draw lane lines, often a zebra crossing or stop line; `lane` is a lane's width in metres."""
    paint = scale((226, 224, 214), float(rng.uniform(0.8, 1.05)))
    dash, gap = ((3.0, 4.0), (1.5, 2.0), (30.0, 0.0))[int(rng.integers(3))]
    z = 2.0 + float(rng.uniform(0, 3))
    while z < 70:
        _fill_ground(canvas, strip(-0.09, 0.09, z, z + dash), paint, ids.ROAD)
        z += dash + gap
    for side in sides:
        if side.curb > lane + 1:  # a parking lane
            x = side.sign * lane
            _fill_ground(canvas, strip(x - 0.07, x + 0.07), paint, ids.ROAD)
    if rng.random() < 0.45:
        z = float(rng.uniform(7, 16))
        for x in np.arange(-sides[0].curb + 0.4, sides[1].curb - 0.6, 1.0):
            bar = [(x, 0, z), (x + 0.5, 0, z), (x + 0.5, 0, z + 3), (x, 0, z + 3)]
            _fill_ground(canvas, np.array(bar), paint, ids.ROAD)
    elif rng.random() < 0.5:
        z = float(rng.uniform(8, 18))
        _fill_ground(canvas, strip(0.1, sides[1].curb - 0.1, z, z + 0.5), paint, ids.ROAD)


def haze_ground(canvas: Canvas) -> None:
    """Fade the ground towards the haze, row by row."""
    start = max(0, int(canvas.camera.horizon) + 1)
    rows = np.arange(start, canvas.image.shape[0])
    depth = canvas.camera.focal * canvas.camera.elevation / (rows - canvas.camera.horizon + 0.5)
    share = (1 - np.exp(-canvas.haze_density * depth)).astype(np.float32)[:, None, None]
    ground = canvas.image[start:]
    ground[:] = ground * (1 - share) + np.asarray(canvas.haze, np.float32) * share


def cast_shadows(canvas: Canvas, footprints: Points, strength: float) -> None:
    """Darken the ground under `footprints` (K x N x 3) by `strength` (0..1), softly."""
    light: Bytes = np.full(canvas.label.shape, 255, np.uint8)
    for polygon in canvas.camera.project(footprints):  # one by one, since they overlap
        cv2.fillPoly(light, [polygon], 255 * (1 - strength))
    size = 2 * (canvas.label.shape[0] // 100) + 1
    light = np.asarray(cv2.blur(light, (size, size)), np.uint8)
    start = max(0, int(canvas.camera.horizon))
    shade = np.repeat(light[start:, :, None], 3, axis=2)
    if shade.size:
        canvas.image[start:] = cv2.multiply(canvas.image[start:], shade, scale=1 / 255)


def draw_buildings(canvas: Canvas, rng: np.random.Generator, side: Side, light: float) -> None:
    """Draw a row of buildings, far to near, with gaps; `light` is the facades' brightness."""
    starts, z = [], 3.0 - float(rng.uniform(0, 6))
    story = float(rng.uniform(2.7, 3.4))
    tallest = int(rng.integers(2, 6))
    while z < 90:
        length = float(rng.uniform(8, 20))
        starts.append((z, length))
        z += length + (float(rng.uniform(2.5, 7)) if rng.random() < 0.3 else 0.0)
    for z, length in reversed(starts):
        stories = max(1, tallest - int(rng.integers(0, 3)))
        setback = float(rng.uniform(0, 0.8))
        _draw_building(canvas, rng, side, (z, length, setback), (stories, story), light)


def _draw_building(
    canvas: Canvas,
    rng: np.random.Generator,
    side: Side,
    place: tuple[float, float, float],
    size: tuple[int, float],
    light: float,
) -> None:
    """Draw one building: its roof, the end wall towards the camera, and the facade."""
    z, length, setback = place
    stories, story = size
    far = z + length
    if far < NEAREST + 0.5:
        return
    near = max(z, NEAREST)
    x = side.sign * (side.building_line + setback)
    ends = canvas.camera.project([(x, 0, near), (x, 0, far)])[:, 0]
    if ends.max() < 0 or ends.min() >= canvas.image.shape[1]:  # the rest is farther outside
        return
    back = x + side.sign * 9.0
    height = stories * story + 0.5
    wall, roof = pick(rng, WALLS), pick(rng, ROOFS)
    ridge = float(rng.uniform(1.8, 3.5)) if rng.random() < 0.55 else 0.0

    if ridge:
        middle, top = (x + back) / 2, height + ridge
        slope = [(x, height, near), (x, height, far), (middle, top, far), (middle, top, near)]
        canvas.fill(slope, scale(roof, light), ids.BUILDING)
        gable = [(x, height, near), (middle, top, near), (back, height, near)]
        canvas.fill(gable, scale(wall, 0.85), ids.BUILDING)
    end_wall = [(x, 0, near), (x, height, near), (back, height, near), (back, 0, near)]
    canvas.fill(end_wall, scale(wall, 0.85), ids.BUILDING)
    # In pieces, so that the facade follows the road's curve and fades with the distance.
    for low, high in zip(edges := np.linspace(near, far, 3), edges[1:], strict=False):
        piece = [(x, 0, low), (x, height, low), (x, height, high), (x, 0, high)]
        canvas.fill(piece, scale(wall, light), ids.BUILDING)
    _draw_facade(canvas, rng, (x, z, length), size, scale(wall, light))
    if not ridge:
        _draw_band(canvas, x, near, far, (height - 0.35, height), scale(wall, 0.7 * light))


def _draw_band(
    canvas: Canvas, x: float, near: float, far: float, span: tuple[float, float], color: Color
) -> None:
    """Draw a horizontal band on a facade, such as a cornice; `span` is its lower and upper y."""
    low, high = span
    canvas.fill(
        [(x, low, near), (x, high, near), (x, high, far), (x, low, far)], color, ids.BUILDING
    )


def _draw_facade(
    canvas: Canvas,
    rng: np.random.Generator,
    place: tuple[float, float, float],
    size: tuple[int, float],
    wall: Color,
) -> None:
    """Draw windows of all stories, frames and sills, and a ground floor with doors or shops."""
    x, z, length = place
    stories, story = size
    far = z + length
    if story * canvas.camera.pixels_per_metre(z) < 5:
        return
    columns = max(2, int(length / float(rng.uniform(1.9, 3.2))))
    step = length / columns
    share = float(rng.uniform(0.42, 0.68))
    lefts: Points = z + (np.arange(columns, dtype=np.float64) + (1 - share) / 2) * step
    lefts = lefts[lefts > NEAREST]  # those behind the camera would be squeezed to its plane
    shop = rng.random() < 0.4
    if shop:
        _draw_band(canvas, x, max(z, NEAREST), far, (0.0, story), scale(wall, 0.7))
    elif rng.random() < 0.5:
        _draw_band(canvas, x, max(z, NEAREST), far, (0.0, 0.8), scale(wall, 0.75))
    glass = pick(rng, ((58, 68, 82), (76, 90, 106), (44, 50, 58), (112, 126, 140)))
    frame = mix(wall, (240, 238, 230), 0.6) if rng.random() < 0.6 else scale(wall, 0.8)
    lit = rng.random((len(lefts), stories)) < float(rng.choice([0.0, 0.12, 0.3]))
    bottoms: Points = np.arange(stories, dtype=np.float64) * story + 0.3 * story

    shown = np.ones_like(lit)
    shown[:, 0] = not shop
    for chosen, border, color in (
        (shown, 0.13, frame),
        (shown & ~lit, 0.0, glass),
        (shown & lit, 0.0, (214, 190, 130)),
    ):
        panes = _panes(x, lefts, share * step, bottoms, 0.55 * story, border)
        # In groups, so that near windows don't fade like far ones.
        for group in np.array_split(np.arange(len(lefts)), 2):
            canvas.fill(panes[group][chosen[group]], color, ids.BUILDING)
    if shop:
        _draw_shops(canvas, rng, (x, z, length), story)


def _panes(
    x: float, lefts: Points, width: float, bottoms: Points, height: float, border: float
) -> Points:
    """Return rectangles (columns x stories x 4 x 3) on a facade, `border` larger on each side."""
    panes = np.empty((len(lefts), len(bottoms), 4, 3))
    panes[..., 0] = x
    panes[:, :, :2, 2] = (lefts - border)[:, None, None]
    panes[:, :, 2:, 2] = (lefts + width + border)[:, None, None]
    panes[:, :, [0, 3], 1] = (bottoms - border)[:, None]
    panes[:, :, [1, 2], 1] = (bottoms + height + border)[:, None]
    return panes


def _draw_shops(
    canvas: Canvas, rng: np.random.Generator, place: tuple[float, float, float], story: float
) -> None:
    """Draw shop windows with a coloured board above each."""
    x, z, length = place
    count = max(1, int(length / 5))
    for left in z + np.arange(count) * (length / count):
        right = left + length / count - 0.6
        if right < NEAREST + 0.5:
            continue
        left = max(float(left), NEAREST)
        board = pick(
            rng, ((150, 34, 36), (30, 74, 110), (40, 96, 62), (196, 160, 60), (50, 48, 50))
        )
        _draw_band(canvas, x, left, right, (0.3, 0.72 * story), (62, 68, 74))
        _draw_band(canvas, x, left, left + 0.3 * (right - left), (0.3, 0.7 * story), (96, 104, 110))
        _draw_band(canvas, x, left, right, (0.76 * story, 0.97 * story), board)
