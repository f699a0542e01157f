"""One drawn street scene: its plan, its weather, and the camera's imperfections."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gcseg.data.scenes import ids
from gcseg.data.scenes.canvas import Bytes, Camera, Canvas, Color, Points, pick, scale, smooth_noise
from gcseg.data.scenes.cars import draw_car, draw_crossing_car, draw_oncoming_car
from gcseg.data.scenes.street import (
    Side,
    cast_shadows,
    draw_buildings,
    draw_ground,
    draw_markings,
    draw_sky,
    draw_skyline,
    haze_ground,
)
from gcseg.data.scenes.street_objects import (
    Thing,
    draw_bin,
    draw_bush,
    draw_lamp,
    draw_person,
    draw_sign,
    draw_tree,
)
from gcseg.errors import ConfigError

SMALLEST = 32
"""Fewest rows and columns of a scene, in pixels."""

LANE = 3.3
"""Width of a lane in metres."""


@dataclass(frozen=True)
class Weather:
    """Light and weather of a scene.

    Args:
        zenith: Colour of the sky at the zenith.
        haze: Colour of the sky at the horizon, to which far things fade.
        haze_density: Share of a colour lost per metre.
        cloudiness: Share of clouds in the sky, 0..1.
        shadow: Share of the light that a shadow takes, 0..1.
        tint: Factor per colour channel.
    """

    zenith: Color
    haze: Color
    haze_density: float
    cloudiness: float
    shadow: float
    tint: Color


WEATHERS = (
    Weather((86, 138, 204), (190, 212, 232), 0.003, 0.3, 0.5, (1.04, 1.02, 0.97)),  # sunny
    Weather((112, 156, 208), (206, 216, 226), 0.004, 0.6, 0.4, (1.0, 1.0, 1.0)),  # fair
    Weather((172, 180, 190), (208, 212, 216), 0.007, 0.8, 0.2, (0.94, 0.97, 1.02)),  # overcast
    Weather((120, 130, 158), (226, 198, 166), 0.005, 0.45, 0.35, (1.05, 0.96, 0.88)),  # evening
    Weather((188, 194, 200), (200, 204, 208), 0.011, 0.5, 0.12, (0.94, 0.96, 0.98)),  # fog
    Weather((140, 150, 166), (172, 180, 190), 0.006, 0.7, 0.25, (0.84, 0.87, 0.92)),  # dull
)

# Deviation of the texture per label id, in grey values: fine grain, leaves and gravel, stains.
_TEXTURE = {
    ids.ROAD: (5, 3, 6),
    ids.SIDEWALK: (5, 4, 5),
    ids.BUILDING: (4, 3, 6),
    ids.VEGETATION: (10, 17, 8),
    ids.POLE: (3, 0, 4),
    ids.SKY: (1, 0, 2),
}
_OTHER_TEXTURE = (3, 1, 3)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[Bytes, Bytes]:
    """Draw a street with its exact label.

    Args:
        rng: Random generator that decides everything but the size.
        height: Height of the image in pixels, at least 32.
        width: Width of the image in pixels, at least 32.

    Returns:
        The image, uint8 H x W x 3 RGB, and the label, uint8 H x W Cityscapes label ids (the
        original 0..33, not the train ids).

    Raises:
        ConfigError: The scene is too small to draw.
    """
    for name, value in (("height", height), ("width", width)):
        if value < SMALLEST:
            raise ConfigError(
                f"a street scene has {name}={value}", f"use at least {SMALLEST} pixels"
            )
    weather = WEATHERS[int(rng.integers(len(WEATHERS)))]
    sides = _plan_sides(rng)
    canvas = Canvas(
        np.zeros((height, width, 3), np.uint8),
        np.zeros((height, width), np.uint8),
        _place_camera(rng, height, width),
        weather.haze,
        weather.haze_density,
    )
    things = _plan_things(rng, sides)
    sun = float(rng.uniform(-1, 1))

    draw_sky(canvas, rng, weather.zenith, weather.cloudiness * float(rng.uniform(0.6, 1.3)))
    draw_skyline(canvas, rng)
    draw_ground(canvas, rng, sides)
    draw_markings(canvas, rng, sides, LANE)
    haze_ground(canvas)
    cast_shadows(canvas, _shadows(things, sun), weather.shadow)
    for side in sides:
        if side.built:
            draw_buildings(canvas, rng, side, 0.92 + 0.16 * sun * side.sign)
    for thing in sorted(things, key=lambda thing: -thing.z):
        thing.draw(canvas, rng, thing.x, thing.z)

    image = _photograph(rng, canvas, weather)
    _draw_ego_vehicle(image, canvas.label, rng)
    # Mirror half the scenes, so that they drive on the left.
    if rng.random() < 0.5:
        return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(canvas.label[:, ::-1])
    return image, canvas.label


def _place_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """Place a camera in the right-hand lane."""
    return Camera(
        focal=height * float(rng.uniform(1.3, 1.9)),
        center_x=width * float(rng.uniform(0.36, 0.64)),
        horizon=height * float(rng.uniform(0.36, 0.48)),
        elevation=float(rng.uniform(1.4, 2.0)),
        offset=LANE / 2 + float(rng.uniform(-0.6, 0.6)),
        curvature=float(rng.uniform(-1, 1) ** 3) * 0.006,
    )


def _plan_sides(rng: np.random.Generator) -> tuple[Side, Side]:
    """Plan the left and the right side; never two parks, and a verge on at least one of them."""
    park = int(rng.choice([-1, 1, 0, 0]))
    verged = int(rng.choice([-1, 1, 2]))
    left, right = (
        Side(
            sign=sign,
            curb=LANE + (2.2 if rng.random() < 0.6 else 0.3),
            sidewalk=float(rng.uniform(1.8, 3.6)),
            verge=float(rng.uniform(2.0, 5.5)) if verged in (sign, 2) or park == sign else 0.0,
            built=park != sign,
        )
        for sign in (-1, 1)
    )
    return left, right


def _plan_things(rng: np.random.Generator, sides: tuple[Side, Side]) -> list[Thing]:
    """Plan everything that stands on the ground."""
    things = _plan_traffic(rng)
    for side in sides:
        things += _plan_parked(rng, side)
        things += _plan_people(rng, side)
        things += _plan_poles(rng, side)
        things += _plan_plants(rng, side)
    return things


def _spots(
    rng: np.random.Generator, near: float, far: float, gap: tuple[float, float]
) -> list[float]:
    """Draw places along the road from `near` to `far` with gaps from a range, all in metres."""
    spots, z = [], near
    while z < far:
        spots.append(z)
        z += float(rng.uniform(*gap))
    return spots


def _plan_traffic(rng: np.random.Generator) -> list[Thing]:
    """Plan cars ahead, oncoming cars, and sometimes one across the road."""
    things = []
    if rng.random() < 0.6:
        things.append(Thing(draw_car, LANE / 2, float(rng.uniform(9, 30)), 0.95, 2.2))
    for z in _spots(rng, float(rng.uniform(8, 22)), 60, (9, 26)):
        things.append(Thing(draw_oncoming_car, -LANE / 2, z, 0.95, 2.2))
    if rng.random() < 0.3:
        x = float(rng.uniform(-6, 6))
        things.append(Thing(draw_crossing_car, x, float(rng.uniform(34, 46)), 2.2, 0.95))
    return things


def _plan_parked(rng: np.random.Generator, side: Side) -> list[Thing]:
    """Plan cars along the curb, where there is a lane for them."""
    if side.curb < LANE + 1:
        return []
    draw = draw_car if side.sign > 0 else draw_oncoming_car
    x = side.sign * (side.curb - 1.1)
    return [
        Thing(draw, x, z, 0.95, 2.2)
        for z in _spots(rng, float(rng.uniform(6, 12)), 50, (5.4, 9.0))
        if rng.random() < 0.7
    ]


def _plan_people(rng: np.random.Generator, side: Side) -> list[Thing]:
    """Plan people on the sidewalk, and sometimes one who steps on the road."""
    things = []
    for _ in range(int(rng.integers(3, 7))):
        x = side.sign * float(rng.uniform(side.curb + 0.5, side.sidewalk_end - 0.3))
        things.append(Thing(draw_person, x, float(rng.uniform(6.5, 17)), 0.3, 0.3))
    if rng.random() < 0.2:
        x = side.sign * float(rng.uniform(0.3, side.curb))
        things.append(Thing(draw_person, x, float(rng.uniform(10, 18)), 0.3, 0.3))
    return things


def _plan_poles(rng: np.random.Generator, side: Side) -> list[Thing]:
    """Plan street lamps and signs at the curb."""
    things = []
    x = side.sign * (side.curb + 0.5)
    for z in _spots(rng, float(rng.uniform(8, 14)), 40, (7, 13)):
        draw = draw_sign if z < 28 and rng.random() < 0.6 else draw_lamp
        things.append(Thing(draw, x, z, 0.12, 0.12))
    return things


def _plan_plants(rng: np.random.Generator, side: Side) -> list[Thing]:
    """Plan trees on the verge or sidewalk, bushes on the verge, a wood in a park, and bins."""
    things = []
    if rng.random() < 0.8 or side.verge:
        x = side.sidewalk_end + 0.6 if side.verge else side.curb + 0.9
        for z in _spots(rng, float(rng.uniform(11, 20)), 60, (8, 18)):
            things.append(Thing(draw_tree, side.sign * x, z, 1.3, 1.3))
    if side.verge:
        for z in _spots(rng, float(rng.uniform(6, 14)), 40, (2, 9)):
            x = side.sidewalk_end + float(rng.uniform(0.5, 1.0)) * side.verge
            things.append(Thing(draw_bush, side.sign * x, z, 0.8, 0.5))
    if not side.built:
        for z in _spots(rng, 9.0, 90, (2.5, 6)):
            x = side.building_line + float(rng.uniform(0, 14))
            things.append(Thing(draw_tree, side.sign * x, z, 1.6, 1.6))
    if rng.random() < 0.3:
        x = side.sign * (side.sidewalk_end - 0.5)
        things.append(Thing(draw_bin, x, float(rng.uniform(8, 20)), 0.5, 0.5))
    return things


def _shadows(things: list[Thing], sun: float) -> Points:
    """Return shadows on the ground (K x N x 3); `sun` (-1..1) is how far they lean sideways."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    x, z, wide, long = np.array(
        [(thing.x, thing.z, thing.half_width, thing.half_length) for thing in things]
    ).T[..., None]
    shadows = np.zeros((len(things), 16, 3))
    shadows[..., 0] = x + sun * wide + 1.2 * wide * np.cos(turn)
    shadows[..., 2] = z + 1.12 * long * np.sin(turn)
    return shadows


def _photograph(rng: np.random.Generator, canvas: Canvas, weather: Weather) -> Bytes:
    """Add surface texture, the weather's tint, a lens's blur and sensor noise to the image."""
    shape: tuple[int, int] = canvas.label.shape[0], canvas.label.shape[1]
    unit = shape[0] / 256
    amounts = np.zeros((3, 256), np.float32)
    amounts[:] = np.asarray(_OTHER_TEXTURE, np.float32)[:, None]
    for label_id, surface in _TEXTURE.items():
        amounts[:, label_id] = surface
    amounts[0] += float(rng.uniform(0.5, 2.5))  # the sensor's noise
    texture = np.asarray(cv2.LUT(canvas.label, amounts[0])) * rng.standard_normal(shape, np.float32)
    for amount, cell in zip(amounts[1:], (4.0, 30.0), strict=True):
        noise = smooth_noise(rng, shape, max(1.0, cell * unit))
        texture += np.asarray(cv2.LUT(canvas.label, amount)) * noise

    contrast = float(rng.uniform(0.88, 1.1))
    gain = np.asarray(scale(weather.tint, contrast * float(rng.uniform(0.85, 1.12))), np.float32)
    blurred = np.asarray(cv2.GaussianBlur(canvas.image, (0, 0), 0.35 + 0.3 * unit))
    image: npt.NDArray[np.float32] = blurred + texture[..., None]
    image *= gain
    image += np.float32(118 * (1 - contrast))
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def _draw_ego_vehicle(image: Bytes, label: Bytes, rng: np.random.Generator) -> None:
    """Draw the camera car's bonnet and the border left by undistortion; neither is evaluated."""
    height, width = label.shape
    if rng.random() < 0.8:
        rise = float(rng.uniform(0.04, 0.1)) * height
        middle = width * float(rng.uniform(0.45, 0.55))
        axes = (max(1, int(width * rng.uniform(0.5, 0.7))), max(1, int(2 * rise)))
        center = (int(middle), int(height + rise))
        paint = scale(pick(rng, ((40, 42, 48), (120, 122, 128), (60, 70, 96))), 1.0)
        cv2.ellipse(image, center, axes, 0, 180, 360, paint, cv2.FILLED)
        cv2.ellipse(label, center, axes, 0, 180, 360, ids.EGO_VEHICLE, cv2.FILLED)
        shine = (axes[0], max(1, int(1.6 * rise)))
        cv2.ellipse(image, center, shine, 0, 200, 340, scale(paint, 1.25), 1)
    border = max(1, round(height / 128))
    for array, value in ((image, 0), (label, ids.OUT_OF_ROI)):
        array[:border] = array[-border:] = value
        array[:, :border] = array[:, -border:] = value
