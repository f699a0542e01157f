"""Write tests/golden/annotations.json with the annotation tools' own code.

It needs an environment with numpy, pillow and pycocotools, in which `label-studio-converter` and
`labelme` are installed with --no-deps:

    python tools/golden_annotations.py tests/golden/annotations.json
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
from pycocotools import mask as coco

sys.modules["labelme"] = package = types.ModuleType("labelme")  # its own imports Qt
package.__path__ = [
    str(Path(folder) / "labelme") for folder in sys.path if (Path(folder) / "labelme").is_dir()
]
sys.modules["labelme._label_file"] = types.ModuleType("labelme._label_file")
sys.modules["labelme._label_file"].ShapeDict = dict
sys.modules["labelme.utils"] = utils = types.ModuleType("labelme.utils")
utils.__path__ = [f"{folder}/utils" for folder in package.__path__]

from label_studio_converter import brush  # noqa: E402
from labelme.utils.shape import shape_to_mask  # noqa: E402

HEIGHT, WIDTH = 23, 31
SHAPES = {
    "polygon": [[[2.5, 3.2], [27.9, 1.1], [20.0, 20.5], [9.3, 14.7]],
                [[0, 0], [5, 0], [5, 5], [0, 5]],
                [[-4, 10], [40, 12.5], [15, 30]],
                [[1, 1], [20, 1], [3, 18], [20, 18]]],
    "rectangle": [[[3.4, 4.6], [12.5, 9.5]], [[20, 18], [8, 2]]],
    "circle": [[[15, 11], [15, 5]], [[3, 3], [6.5, 3.5]]],
}  # fmt: skip


def masks() -> list[np.ndarray]:
    """Small masks of several densities, sizes with odd numbers, empty and full ones."""
    found = [np.zeros((3, 5), np.uint8), np.ones((4, 3), np.uint8)]
    for seed, (height, width) in enumerate([(1, 1), (7, 5), (13, 29), (32, 17)]):
        random = np.random.default_rng(seed)
        found.append((random.random((height, width)) < (seed + 1) / 6).astype(np.uint8))
    blob = np.zeros((300, 120), np.uint8)  # lengths of 3, 4, 8 and 16 bits, and longer ones
    blob[150:290, 3:] = 1
    return [*found, blob]


def main() -> None:
    """Write the file that the command line names."""
    content = {"masks": [], "labelme": [], "coco": []}
    for mask in masks():
        content["masks"].append(
            {"rows": ["".join(map(str, row)) for row in mask.tolist()],
             "label_studio": brush.mask2rle(mask * 255),
             "coco": coco.encode(np.asfortranarray(mask))["counts"].decode()}
        )  # fmt: skip
    for kind, shapes in SHAPES.items():
        for points in shapes:
            inside = shape_to_mask((HEIGHT, WIDTH), points, kind).astype(int)
            rows = ["".join(map(str, row)) for row in inside.tolist()]
            content["labelme"].append({"shape_type": kind, "points": points, "rows": rows})
    for points in SHAPES["polygon"]:
        flat = [number for point in points for number in point]
        inside = coco.decode(coco.merge(coco.frPyObjects([flat], HEIGHT, WIDTH)))
        rows = ["".join(map(str, row)) for row in inside.tolist()]
        content["coco"].append({"points": points, "rows": rows})
    Path(sys.argv[1]).write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
