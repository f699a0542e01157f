"""The camera of a drawn scene, and the canvas: an image and its label that are drawn together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Color = tuple[float, float, float]
Points = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

NEAREST = 1.5
"""Nearest distance from the camera, in metres; nearer points are moved to it."""

_FARTHEST_PIXEL = 30_000  # OpenCV's fixed-point coordinates overflow beyond 2**15


def mix(first: Color, second: Color, share: float) -> Color:
    """Return the colour that lies `share` (a fraction) of the way from the first to the second."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def scale(color: Color, factor: float) -> Color:
    """Return the colour `factor` times as bright; `Canvas` clips it when it is painted."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def pick(rng: np.random.Generator, colors: tuple[Color, ...], jitter: float = 0.12) -> Color:
    """Return one of the colours at random, up to `jitter` (a fraction) brighter or darker."""
    return scale(colors[int(rng.integers(len(colors)))], float(rng.uniform(1 - jitter, 1 + jitter)))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a road which may curve.

    World coordinates are metres: x to the right of the road's middle, y above the ground,
    z along the road.

    Args:
        focal: Focal length in pixels.
        center_x: Column of the vanishing point in pixels.
        horizon: Row of the horizon in pixels.
        elevation: Height over the ground in metres.
        offset: The camera's x in metres.
        curvature: Sideways shift of the road in metres per metre squared.
    """

    focal: float
    center_x: float
    horizon: float
    elevation: float
    offset: float
    curvature: float

    def view(self, points: npt.ArrayLike) -> Points:
        """Return world points (... x 3) relative to the camera (... x 3), in metres."""
        view = np.array(points, np.float64)
        depth = np.maximum(view[..., 2], NEAREST)
        view[..., 0] += self.curvature * depth * depth - self.offset
        view[..., 1] -= self.elevation
        view[..., 2] = depth
        return view

    def project(self, points: npt.ArrayLike) -> Pixels:
        """Project world points (... x 3) to whole pixels (... x 2): column and row."""
        world = np.asarray(points, np.float64)
        # Coordinate by coordinate and without np.clip: with a polygon's few points, the number of
        # calls determines the time.
        x, y, z = world.reshape(-1, 3).T
        depth = np.maximum(z, NEAREST)
        zoom = self.focal / depth
        pixels = np.empty((len(x), 2))
        pixels[:, 0] = (
            (x - self.offset) * zoom + (self.curvature * self.focal) * depth + self.center_x
        )
        pixels[:, 1] = (self.elevation - y) * zoom + self.horizon
        np.minimum(pixels, _FARTHEST_PIXEL, out=pixels)
        np.maximum(pixels, -_FARTHEST_PIXEL, out=pixels)
        return np.rint(pixels).astype(np.int32).reshape(*world.shape[:-1], 2)

    def pixels_per_metre(self, z: float) -> float:
        """Return the size in pixels of a metre at the distance `z` in metres."""
        return self.focal / max(z, NEAREST)


@dataclass(frozen=True)
class Canvas:
    """An image and its label, drawn into with the same pixels, so that they can't disagree.

    Args:
        image: RGB image, H x W x 3.
        label: Label ids, H x W.
        camera: Camera that sees the scene.
        haze: Colour that far things fade to.
        haze_density: Share of a thing's colour lost per metre.
    """

    image: Bytes
    label: Bytes
    camera: Camera
    haze: Color
    haze_density: float

    def fade(self, z: float) -> float:
        """Return the share (0..1) of a colour that the haze takes at the distance `z` in metres."""
        return 1.0 - math.exp(-self.haze_density * max(z, 0.0))

    def fill_pixels(self, polygons: Sequence[Pixels], color: Color, label_id: int) -> None:
        """Fill polygons (each N x 2 pixels) in both the image and the label."""
        cv2.fillPoly(self.image, polygons, color)
        cv2.fillPoly(self.label, polygons, label_id)

    def fill(self, polygons: npt.ArrayLike, color: Color, label_id: int) -> None:
        """Fill world polygons (N x 3, or K x N x 3), faded by the distance of their middle.

        Polygons of one call must not overlap: where two do, OpenCV leaves a hole.
        """
        world = np.asarray(polygons, np.float64)
        if not world.size:
            return
        world = world if world.ndim == 3 else world[None]
        # From two opposite corners: the mean over all would take longer than the filling.
        distance = (float(world[0, 0, 2]) + float(world[-1, -2, 2])) / 2
        color = mix(color, self.haze, self.fade(distance))
        self.fill_pixels(list(self.camera.project(world)), color, label_id)

    def fill_discs(
        self, centers: npt.ArrayLike, radii: Sequence[float], colors: Sequence[Color], label_id: int
    ) -> None:
        """Fill discs that face the camera, one after the other.

        Args:
            centers: World points of the centres, N x 3, all at one distance.
            radii: Radii in metres, N of them.
            colors: Colours of the discs, N of them.
            label_id: Label id of the discs.
        """
        world = np.asarray(centers, np.float64)
        distance = float(world[0, 2])
        zoom, faded = self.camera.pixels_per_metre(distance), self.fade(distance)
        pixels = self.camera.project(world).tolist()
        for center, radius, color in zip(pixels, radii, colors, strict=True):
            size = max(1, round(radius * zoom))
            cv2.circle(self.image, center, size, mix(color, self.haze, faded), cv2.FILLED)
            cv2.circle(self.label, center, size, label_id, cv2.FILLED)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float
) -> npt.NDArray[np.float32]:
    """Draw H x W random values of mean 0 and deviation about 1 that change over `cell` pixels."""
    height, width = shape
    rows, columns = int(height / cell) + 2, int(width / cell) + 2
    coarse = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(
        cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32
    )
