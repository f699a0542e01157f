"""Objects of a drawn street: people, poles and signs, trees, bins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gcseg.data.scenes import ids
from gcseg.data.scenes.canvas import Canvas, Color, Points, pick, scale

SHOES: Color = (24, 24, 26)
SKINS: tuple[Color, ...] = ((224, 178, 150), (190, 138, 104), (128, 86, 62), (92, 62, 46))
HAIRS: tuple[Color, ...] = ((50, 36, 26), (96, 70, 40), (28, 26, 26), (150, 130, 96))
CLOTHES: tuple[Color, ...] = (
    (150, 40, 44), (40, 60, 120), (36, 38, 44), (190, 184, 172), (60, 96, 66), (196, 150, 50),
    (112, 66, 120), (92, 96, 104), (206, 96, 60), (60, 130, 150),
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """Something on the ground, drawn from far to near.

    Args:
        draw: Function that draws it at x and z, in metres.
        x: Position to the right of the road's middle, in metres.
        z: Position along the road, in metres.
        half_width: Half its extent in x, in metres, for its shadow.
        half_length: Half its extent in z, in metres.
    """

    draw: Callable[[Canvas, np.random.Generator, float, float], None]
    x: float
    z: float
    half_width: float
    half_length: float


def draw_person(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a standing or walking person, 1.5 to 1.9 m tall."""
    tall = float(rng.uniform(1.5, 1.9)) / 1.75
    wide = tall * float(rng.uniform(1.0, 1.3))
    stride = float(rng.uniform(0.02, 0.24))
    coat, trousers, skin = pick(rng, CLOTHES), pick(rng, CLOTHES), pick(rng, SKINS)

    def limb(outline: tuple[tuple[float, float], ...], color: Color) -> None:
        points = [(x + wide * across, tall * up, z) for across, up in outline]
        canvas.fill(points, color, ids.PERSON)

    for side in (-1, 1):
        foot = side * stride + 0.09 * side
        limb(((-0.13, 0.88), (0.13, 0.88), (foot + 0.09, 0.06), (foot - 0.09, 0.06)), trousers)
        limb(
            ((foot - 0.1, 0.08), (foot + 0.12, 0.08), (foot + 0.12, 0.0), (foot - 0.1, 0.0)), SHOES
        )
    hem = float(rng.choice([0.82, 0.82, 0.5]))  # a jacket, or a coat or skirt
    limb(((-0.22, 1.42), (0.22, 1.42), (0.2, hem), (-0.2, hem)), coat)
    reach = 0.26 + 0.4 * stride
    for side in (-1, 1):
        hand = side * reach
        limb(
            ((side * 0.14, 1.45), (side * 0.25, 1.4), (hand + 0.06, 0.8), (hand - 0.06, 0.8)),
            scale(coat, 0.84),
        )
    hair = pick(rng, HAIRS)
    canvas.fill_discs(
        [
            (x - wide * reach, tall * 0.78, z),
            (x + wide * reach, tall * 0.78, z),
            (x, tall * 1.64, z),
            (x + 0.02, tall * 1.6, z),
        ],
        (0.06, 0.06, 0.14 * tall, 0.12 * tall),
        (skin, skin, hair, skin),
        ids.PERSON,
    )
    if rng.random() < 0.3:  # a bag
        limb(((0.22, 1.0), (0.42, 1.0), (0.42, 0.68), (0.22, 0.68)), pick(rng, CLOTHES))


def _draw_post(
    canvas: Canvas, x: float, z: float, height: float, width: float, color: Color
) -> None:
    """Draw an upright post, `height` and `width` in metres."""
    # Never thinner than 5 pixels in 256 rows: thinner poles could not be learnt.
    least = 5.0 * canvas.image.shape[0] / 256 / canvas.camera.pixels_per_metre(z)
    half = max(width, least) / 2
    canvas.fill(
        [(x - half, 0, z), (x + half, 0, z), (x + half, height, z), (x - half, height, z)],
        color,
        ids.POLE,
    )
    canvas.fill(
        [(x, 0, z), (x + half, 0, z), (x + half, height, z), (x, height, z)],
        scale(color, 0.72),
        ids.POLE,
    )


def draw_lamp(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a street lamp whose arm reaches over the road."""
    color = pick(rng, ((96, 98, 100), (62, 70, 66), (134, 134, 130)))
    height = float(rng.uniform(4.5, 7.5))
    _draw_post(canvas, x, z, height, 0.32, color)
    reach = -np.sign(x) * float(rng.uniform(0.8, 1.8))
    half = 0.1
    arm = [(x, height - half, z), (x, height + half, z)]
    tip = [(x + reach, height + 0.3 + half, z), (x + reach, height + 0.3 - half, z)]
    canvas.fill([*arm, *tip], color, ids.POLE)
    lamp = [
        (x + reach * t, height + 0.3 + up, z)
        for t, up in ((0.7, -0.1), (0.7, 0.12), (1.35, 0.12), (1.35, -0.1))
    ]
    canvas.fill(lamp, scale(color, 1.3), ids.POLE)


def _sign_outline(corners: int, turn: float, radius: float) -> Points:
    """Return a regular polygon (N x 2) around the origin, `radius` in metres."""
    angles = np.arange(corners) * 2 * np.pi / corners + turn
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


@dataclass(frozen=True)
class Sign:
    """A kind of traffic sign.

    Args:
        corners: Number of corners of the regular outline.
        turn: Angle of the first corner in radians, 0 to the right.
        rim: Colour of the rim.
        face: Colour of the face.
        mark: Colour of the mark on the face.
        mark_size: Half the width and height of the mark, as fractions of the radius.
    """

    corners: int
    turn: float
    rim: Color
    face: Color
    mark: Color
    mark_size: tuple[float, float]


RED, WHITE, BLUE, BLACK = (194, 22, 28), (236, 235, 230), (26, 78, 170), (32, 32, 32)
SIGNS = (
    Sign(20, 0.0, RED, WHITE, BLACK, (0.36, 0.3)),  # speed limit
    Sign(3, np.pi / 2, RED, WHITE, BLACK, (0.1, 0.26)),  # warning
    Sign(3, -np.pi / 2, RED, WHITE, WHITE, (0.1, 0.1)),  # give way
    Sign(8, np.pi / 8, WHITE, RED, WHITE, (0.56, 0.16)),  # stop
    Sign(20, 0.0, WHITE, BLUE, WHITE, (0.12, 0.48)),  # straight on
    Sign(4, np.pi / 4, WHITE, BLUE, WHITE, (0.18, 0.36)),  # parking
    Sign(4, 0.0, WHITE, (238, 190, 30), (238, 190, 30), (0.1, 0.1)),  # priority road
    Sign(20, 0.0, RED, RED, WHITE, (0.56, 0.15)),  # no entry
)


def draw_sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw one or two traffic signs on a post."""
    height = float(rng.uniform(2.9, 3.6))
    _draw_post(canvas, x, z, height + 0.5, 0.24, pick(rng, ((136, 138, 140), (108, 110, 112))))
    for _ in range(1 + int(rng.random() < 0.35)):
        sign = SIGNS[int(rng.integers(len(SIGNS)))]
        radius = float(rng.uniform(0.7, 0.9)) * (1.25 if sign.corners in (3, 4) else 1.0)
        outline = _sign_outline(sign.corners, sign.turn, radius)
        wide, high = sign.mark_size
        mark = radius * np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)])
        for flat, color in ((outline, sign.rim), (0.78 * outline, sign.face), (mark, sign.mark)):
            points = [(x + across, height + up, z) for across, up in flat]
            canvas.fill(points, color, ids.TRAFFIC_SIGN)
        height -= 1.7


def draw_tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a tree, 4 to 8 m tall; the trunk is vegetation too, as in Cityscapes."""
    trunk = float(rng.uniform(1.9, 3.0))
    radius = float(rng.uniform(1.1, 2.1))
    leaf = pick(rng, ((72, 104, 44), (88, 116, 52), (56, 88, 48), (110, 118, 48), (134, 104, 44)))
    half = float(rng.uniform(0.12, 0.2))
    canvas.fill(
        [(x - half * 1.3, 0, z), (x + half * 1.3, 0, z), (x + half, trunk + 0.8, z),
         (x - half, trunk + 0.8, z)],
        pick(rng, ((92, 74, 56), (110, 96, 80))),
        ids.VEGETATION,
    )  # fmt: skip
    stretch = float(rng.uniform(0.9, 1.5))
    middle = trunk + radius * stretch
    blobs = 26
    angle = rng.uniform(0, 2 * np.pi, blobs)
    out = radius * np.sqrt(rng.uniform(0.05, 1.0, blobs))
    size = radius * rng.uniform(0.22, 0.5, blobs)
    across, up = out * np.cos(angle), out * np.sin(angle) * stretch
    order = np.argsort(up)  # the lit top last
    light = 0.97 + 0.25 * up / (radius * stretch) + rng.uniform(-0.1, 0.1, blobs)
    canvas.fill_discs(
        np.stack([x + across, middle + up, np.full(blobs, z)], axis=-1)[order],
        size[order].tolist(),
        [scale(leaf, brightness) for brightness in light[order].tolist()],
        ids.VEGETATION,
    )


def draw_bush(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a bush of about a metre."""
    leaf = pick(rng, ((62, 94, 44), (78, 104, 50), (52, 80, 46)))
    radius = float(rng.uniform(0.45, 0.8))
    across, up = rng.uniform((-1.1, 0.5), (1.1, 1.3), (8, 2)).T * radius
    canvas.fill_discs(
        np.stack([x + across, up, np.full(8, z)], axis=-1),
        [0.6 * radius] * 8,
        [scale(leaf, 0.75 + 0.5 * share) for share in (up / (1.3 * radius)).tolist()],
        ids.VEGETATION,
    )


def draw_bin(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Draw a bin or street cabinet; its class, static, is not evaluated by Cityscapes."""
    height, half = float(rng.uniform(0.9, 1.5)), float(rng.uniform(0.3, 0.6))
    color = pick(rng, ((64, 78, 70), (96, 92, 84), (120, 110, 60), (58, 66, 92)))
    side = -np.sign(x) * half
    canvas.fill(
        [(x + side, 0, z - half), (x + side, 0, z + half), (x + side, height, z + half),
         (x + side, height, z - half)],
        scale(color, 0.75),
        ids.STATIC,
    )  # fmt: skip
    front = [(x - half, 0), (x + half, 0), (x + half, height), (x - half, height)]
    canvas.fill([(a, b, z - half) for a, b in front], color, ids.STATIC)
    lid = [
        (x - half, height * 0.86),
        (x + half, height * 0.86),
        (x + half, height * 0.92),
        (x - half, height * 0.92),
    ]
    canvas.fill([(a, b, z - half) for a, b in lid], scale(color, 0.6), ids.STATIC)
