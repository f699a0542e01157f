"""The cars of a drawn street, as solid bodies that look right from every side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcseg.data.scenes import ids
from gcseg.data.scenes.canvas import Canvas, Color, Points, pick, scale

GLASS: Color = (52, 62, 74)
TIRE: Color = (24, 24, 26)
PAINTS: tuple[Color, ...] = (
    (196, 198, 202), (38, 40, 44), (120, 124, 130), (150, 26, 30), (32, 58, 120), (228, 228, 224),
    (70, 92, 78), (168, 148, 112), (204, 140, 40), (84, 128, 160),
)  # fmt: skip

DETAILED = 28.0
"""Distance in metres up to which the small parts of a car are drawn."""


@dataclass(frozen=True)
class CarShape:
    """A car's side view: metres from its middle towards its front, and above the ground.

    Args:
        profile: Outline points from the rear bumper over the roof to the front bumper.
        glass: First points of the outline segments that are panes.
        windows: Outline points of the side windows.
        half_width: Half the width in metres.
    """

    profile: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]
    windows: tuple[tuple[float, float], ...]
    half_width: float


CAR_SHAPES = (
    CarShape(  # saloon
        ((-2.15, 0.3), (-2.2, 0.85), (-1.75, 1.0), (-1.2, 1.42), (0.35, 1.45), (1.05, 1.0),
         (2.05, 0.8), (2.15, 0.3)),
        (2, 4),
        ((-1.5, 1.0), (-1.15, 1.35), (0.3, 1.37), (0.85, 1.0)),
        0.9,
    ),
    CarShape(  # hatchback
        ((-1.9, 0.3), (-1.95, 0.95), (-1.6, 1.47), (0.2, 1.52), (1.0, 1.02), (1.85, 0.85),
         (1.95, 0.3)),
        (1, 3),
        ((-1.65, 0.98), (-1.45, 1.38), (0.15, 1.43), (0.8, 1.02)),
        0.86,
    ),
    CarShape(  # off-roader
        ((-2.2, 0.4), (-2.25, 1.05), (-2.0, 1.7), (0.3, 1.75), (1.0, 1.18), (2.1, 1.05),
         (2.2, 0.4)),
        (1, 3),
        ((-1.95, 1.12), (-1.8, 1.6), (0.25, 1.65), (0.85, 1.16)),
        0.96,
    ),
    CarShape(  # van
        ((-2.3, 0.35), (-2.35, 1.15), (-2.25, 1.95), (0.9, 2.0), (1.6, 1.25), (2.3, 1.05),
         (2.35, 0.35)),
        (1, 3),
        ((0.1, 1.25), (0.1, 1.8), (0.8, 1.82), (1.3, 1.25)),
        0.98,
    ),
)  # fmt: skip


Place = tuple[float, float, float]
"""A car's x and z in metres and its heading in radians."""


def _place(points: Points, place: Place) -> Points:
    """Turn car points (... x 3: right, up, ahead) and move them to their place in the world."""
    x, z, heading = place
    sine, cosine = np.sin(heading), np.cos(heading)
    right, up, ahead = points[..., 0], points[..., 1], points[..., 2]
    return np.stack(
        [x + right * cosine + ahead * sine, up, z - right * sine + ahead * cosine], axis=-1
    )


def _face_camera(canvas: Canvas, faces: Points, middle: Points) -> npt.NDArray[np.bool_]:
    """Return which outer sides of a body (K x 4 x 3, corners in order) face the camera."""
    view = canvas.camera.view(faces)
    center = view.mean(axis=1)
    normal = np.cross(view[:, 1] - view[:, 0], view[:, 2] - view[:, 1])
    outwards = center - canvas.camera.view(middle)
    return np.asarray((normal * outwards).sum(axis=1) * (normal * center).sum(axis=1) < 0)


def _on_face(face: Points, left: float, right: float, low: float, high: float) -> Points:
    """Return a rectangle (4 x 3) on a four-cornered face, by fractions across and up it."""
    across = np.array([left, right, right, left])[:, None]
    up = np.array([low, low, high, high])[:, None]
    bottom = face[0] * (1 - across) + face[1] * across
    top = face[3] * (1 - across) + face[2] * across
    return np.asarray(bottom * (1 - up) + top * up)


def _draw_bumper(canvas: Canvas, face: Points, *, rear: bool) -> None:
    """Draw lamps, number plate and tires of a car's rear or front."""
    lamp: Color = (176, 24, 26) if rear else (238, 236, 214)
    # Not down to the ground: the wheels stand behind the bumper, so they end higher up.
    ground = -0.7 * float(face[0, 1]) / float(face[3, 1] - face[0, 1])
    tires = [_on_face(face, 0.05, 0.19, ground, 0.0), _on_face(face, 0.81, 0.95, ground, 0.0)]
    canvas.fill(tires, TIRE, ids.CAR)
    lamps = [_on_face(face, 0.04, 0.24, 0.6, 0.88), _on_face(face, 0.76, 0.96, 0.6, 0.88)]
    canvas.fill(lamps, lamp, ids.CAR)
    if float(face[0, 2]) > DETAILED:
        return
    canvas.fill(_on_face(face, 0.0, 1.0, 0.0, 0.18), (30, 30, 33), ids.CAR)
    canvas.fill(_on_face(face, 0.36, 0.64, 0.25, 0.45), (214, 214, 200), ids.CAR)


def _draw_wheels(canvas: Canvas, shape: CarShape, side: float, place: Place) -> None:
    """Draw both wheels of one side of a car."""
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    rim = np.stack([np.zeros(14), np.sin(turn), np.cos(turn)], axis=-1)
    wheels = [
        (side * shape.half_width, 0.34, 0.62 * end[0])
        for end in (shape.profile[0], shape.profile[-1])
    ]
    for radius, color in ((0.34, TIRE), (0.19, (128, 130, 134))):
        rims = np.stack([radius * rim + wheel for wheel in wheels])
        canvas.fill(_place(rims, place), color, ids.CAR)


def _draw_car_side(
    canvas: Canvas, shape: CarShape, side: float, outline: Points, paint: Color, place: Place
) -> None:
    """Draw the left (-1) or right (1) side of a car: sheet metal, windows and wheels."""
    canvas.fill(outline, scale(paint, 0.72), ids.CAR)
    ahead, up = np.array(shape.windows).T
    pane = np.stack([side * _lean(shape, up), up, ahead], axis=-1)
    canvas.fill(_place(pane, place), GLASS, ids.CAR)
    _draw_wheels(canvas, shape, side, place)


def _lean(shape: CarShape, up: Points) -> Points:
    """Return half a car's width at the heights `up`, in metres; the cabin leans inwards."""
    return np.asarray(shape.half_width * (1 - 0.22 * np.clip((up - 1.0) / 0.5, 0, 1)))


def draw_car(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, heading: float = 0.0
) -> None:
    """Draw a car; at heading 0 (radians) its rear is towards the camera, at pi its front."""
    shape = CAR_SHAPES[int(rng.integers(len(CAR_SHAPES)))]
    paint = pick(rng, PAINTS)
    place = (x, z, heading)
    ahead, up = np.array(shape.profile).T
    half_width = _lean(shape, up)
    left = _place(np.stack([-half_width, up, ahead], axis=-1), place)
    right = _place(np.stack([half_width, up, ahead], axis=-1), place)
    middle = _place(np.array([0.0, 0.7, 0.0]), place)

    strips = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)
    seen = _face_camera(canvas, strips, middle)
    slope = np.abs(np.diff(ahead)) / np.hypot(np.diff(ahead), np.diff(up))
    for index in np.argsort(-strips[:, :, 2].sum(axis=1)):
        if not seen[index]:
            continue
        face = strips[index]
        canvas.fill(face, scale(paint, 0.8 + 0.4 * float(slope[index])), ids.CAR)
        if index in shape.glass:
            canvas.fill(_on_face(face, 0.07, 0.93, 0.08, 0.9), GLASS, ids.CAR)
        if index in shape.glass and z < DETAILED:
            canvas.fill(_on_face(face, 0.15, 0.4, 0.5, 0.85), scale(GLASS, 1.5), ids.CAR)
        if index == 0:
            _draw_bumper(canvas, face, rear=True)
        if index == len(strips) - 1:
            _draw_bumper(canvas, face[[3, 2, 1, 0]], rear=False)
    corners = [0, 1, -2, -1]
    sides = _face_camera(canvas, np.stack([left[corners], right[corners]]), middle)
    for side, outline, visible in zip((-1.0, 1.0), (left, right), sides, strict=True):
        if visible:
            _draw_car_side(canvas, shape, side, outline, paint, place)


def draw_oncoming_car(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a car that shows its front."""
    draw_car(canvas, rng, x, z, np.pi + float(rng.uniform(-0.04, 0.04)))


def draw_crossing_car(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a car that turns or crosses and shows its side."""
    draw_car(canvas, rng, x, z, float(rng.choice([-1, 1])) * float(rng.uniform(1.1, 1.9)))
