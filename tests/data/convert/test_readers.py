"""What each reader draws: order, holes, splits, and what is no region."""

import base64

import numpy as np
import pytest

from gcseg.data.convert import brush, rle
from gcseg.data.label_spaces import LabelSpace
from tests.data.convert import exports
from tests.data.convert.exports import png
from tests.data.trees import picture, write

SPACE = LabelSpace(("sky", "road", "car"), ((9, 8, 7), (1, 200, 3), (250, 5, 6)))
SQUARE = [[2, 2], [8, 2], [8, 8], [2, 8]]
INNER = [[4, 4], [6, 4], [6, 6], [4, 6]]


@pytest.fixture
def image(tmp_path):
    """Write a picture of 10 rows and 12 columns."""

    def image(name: str, seed: int = 0):
        return write(tmp_path / "in" / name, picture(seed, 10, 12))

    return image


def samples():
    found = {}
    for seed in range(3):
        random = np.random.default_rng(seed)
        small = random.choice(np.array([0, 1, 2, 255], np.uint8), (6, 9))
        mask = np.kron(small, np.ones((5, 4), np.uint8))[: 29 - seed]
        mask[1, 1], mask[3:5, 7] = 2, 0
        found[f"p{seed}"] = picture(seed, *mask.shape), mask
    return found


@pytest.mark.parametrize(
    ("form", "make", "options"),
    [
        ("cvat", exports.cvat_export, {}),
        ("cvat", exports.cvat_export, {"masks": True}),
        ("supervisely", exports.supervisely_export, {}),
        ("voc", exports.voc_export, {}),
        ("rgb", exports.rgb_export, {}),
    ],
)
def test_exports_come_back_to_the_pixel(convert, tmp_path, form, make, options):
    make(tmp_path / "in", samples(), SPACE, **options)
    classes = str(tmp_path / "in" / "classes.yaml") if form == "rgb" else None
    found = convert(form, tmp_path / "in", classes=classes)
    assert found.space.names == SPACE.names and found.space.colors == SPACE.colors
    assert found.names("train") == ["p0", "p1", "p2"]
    for name, (_, mask) in samples().items():
        assert (found.label("train", name) == mask).all()


def test_yolo_comes_back_but_for_ignored_holes(convert, tmp_path):
    exports.yolo_export(tmp_path / "in", samples(), SPACE)
    found = convert("yolo", tmp_path / "in")
    for name, (_, mask) in samples().items():
        label = found.label("train", name)
        assert (label == mask)[mask != 255].all()


def labelme(*shapes, **more):
    content = {"imagePath": "a.png", "imageHeight": 10, "imageWidth": 12, "shapes": list(shapes)}
    return {**content, **more}


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def test_labelme_draws_later_shapes_over_earlier_ones(convert, save, image):
    image("a.png")
    content = labelme(shape("road", SQUARE), shape("car", INNER, group_id=1))
    label = convert("labelme", save("a.json", content)).label("train", "a")
    assert (label[4:7, 4:7] == 0).all() and (label == 0).sum() == 9  # car, by the alphabet
    assert (label == 1).sum() == 7 * 7 - 9 and label[0, 0] == 255


def test_labelme_counts_what_has_no_area(convert, save, image):
    image("a.png")
    small = png(np.full((2, 3), 255))
    content = labelme(
        shape("road", SQUARE, None),
        shape("car", [[0, 0], [3, 3]], "line"),
        shape("car", [[1, 1]], "point"),
        shape("car", [[1, 1], [2, 2]]),
        shape("car", [[9, 9], [9.0, 8.0]], "circle"),
        shape("tree", [[0, 0], [1, 1]], "rectangle"),
        shape("mask", [[9, 0], [11, 1]], "mask", mask=base64.b64encode(small).decode()),
        shape("__ignore__", INNER),
    )
    found = convert("labelme", save("a.json", content))
    label = found.label("train", "a")
    assert found.space.names == ("car", "mask", "road", "tree")
    assert (label == 3).sum() == 4 and (label[:2, 9:] == 1).all()
    assert (label[4:7, 4:7] == 255).all()
    for line in ("lines: 1", "points: 1", "polygons of fewer than three points: 1",
                 "7.50 % of the pixels are marked as ignored"):  # fmt: skip
        assert line in found.said


def test_labels_txt_gives_the_order(convert, save, image):
    image("a.png")
    save("labels.txt", "__ignore__\nroad\ncar\nbus\n")
    found = convert("labelme", save("a.json", labelme(shape("car", SQUARE), shape("a", INNER))))
    assert found.space.names == ("road", "car", "bus", "a")
    assert "classes without a pixel: road, bus" in found.said


def test_labelme_holds_its_picture(convert, save):
    content = base64.b64encode(png(picture(3, 10, 12))).decode()
    more = {"imageData": content, "imagePath": "..\\x\\gone.png"}
    found = convert(
        "labelme", save("sub/a.json", labelme(shape("car", SQUARE), shape("b", INNER), **more))
    )
    assert found.names("train") == ["a"]
    assert (found.folder / "images" / "train" / "a.png").read_bytes() == base64.b64decode(content)


def coco(annotations, **more):
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 10, "width": 12}],
        "categories": [{"id": 3, "name": "road"}, {"id": 1, "name": "car"}],
        "annotations": [{"image_id": 7, "id": 50 + n, **one} for n, one in enumerate(annotations)],
    }
    return {**content, **more}


def flat(points):
    return [number for point in points for number in point]


def test_coco_draws_crowds_first(convert, save, image):
    image("a.png")
    everything = np.ones((10, 12), np.uint8)
    content = coco(
        [
            {"category_id": 3, "segmentation": [flat(SQUARE), flat([[9, 0], [12, 0], [12, 3]])]},
            {"category_id": 1, "segmentation": [flat(INNER)], "iscrowd": 0},
            {"category_id": 1, "segmentation": rle.encoded(everything), "iscrowd": 1},
            {"category_id": 1, "bbox": [1, 2, 3, 4]},
            {"category_id": 1, "segmentation": [], "keypoints": [1, 2, 2]},
            {"category_id": 1, "segmentation": [[1, 2, 3, 4]]},
        ]
    )
    found = convert("coco", save("annotations/instances_val2017.json", content))
    dataset_label = found.label("val", "a")
    assert (dataset_label[2:8, 2:8] == 0).sum() == 36 - 4 and (dataset_label == 255).sum() == 0
    assert dataset_label[5, 5] == 1 and dataset_label[9, 0] == 1 and dataset_label[0, 11] == 0
    assert "1 crowd region drawn as their class" in found.said
    for line in ("boxes without a mask: 1", "keypoints alone: 1", "fewer than three points: 1"):
        assert line in found.said
    assert "val: 1 picture" in found.lines


def test_coco_splits_and_names_in_folders(convert, save, image):
    for split in ("train", "valid"):
        image(f"{split}/x/a.png")
        image(f"{split}/y/a.png", 1)
        content = coco([{"category_id": 3, "segmentation": [flat(SQUARE)]}])
        content["images"] = [
            {"id": 7, "file_name": "x/a.png", "height": 10, "width": 12},
            {"id": 8, "file_name": "y/a.png", "height": 10, "width": 12},
        ]
        root = save(f"{split}/_annotations.coco.json", content)
    image("train/unused.png")
    found = convert("coco", root)
    assert found.names("train") == found.names("val") == ["x/a", "y/a"]
    assert (found.label("val", "x/a") == 0).sum() == 36
    assert (found.label("val", "y/a") == 255).all()
    assert "2 pictures without any shape" in found.said
    assert "1 picture without an annotation left out" in found.said


def cvat(*shapes, name="a.png"):
    return (
        "<annotations><meta><project><labels><label><name>road</name><color>#010203</color></label>"
        "<label><name>car</name><color></color></label></labels></project></meta>"
        f'<image id="0" name="{name}" subset="Validation" width="12" height="10">'
        f"{''.join(shapes)}</image></annotations>"
    )


def test_cvat_draws_by_z_order(convert, save, image):
    image("images/Validation/a.png")
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    content = cvat(
        '<box label="car" z_order="1" xtl="4" ytl="4" xbr="6" ybr="6"/>',
        f'<polygon label="road" z_order="0" points="{points}"><attribute name="a">1</attribute>'
        "</polygon>",
        '<mask label="car" rle="0, 1, 4, 1" left="10" top="0" width="2" height="3"/>',
        '<ellipse label="car" cx="1" cy="8.5" rx="1" ry="1"/>',
        '<polyline label="car" points="1,1;2,2"/><points label="car" points="1,1"/>',
        '<tag label="car"/><skeleton label="car"/>',
    )
    found = convert("cvat", save("annotations.xml", content))
    label = found.label("val", "a")
    assert (label[4:6, 4:6] == 1).all() and (label == 0).sum() == 36 - 4
    assert label[0, 10] == 1 and label[0, 11] == 255 and label[2, 11] == 1
    assert (label[7:, :3] == 1).any()
    for line in ("lines: 1", "points: 1", "tags of whole pictures: 1", "skeletons: 1"):
        assert line in found.said


def test_supervisely_polygons_have_holes(convert, save, image):
    image("train/img/a.png")
    image("val/img/a.png")
    save("meta.json", {"classes": [{"title": "road", "color": "#0A0B0C"}, {"title": "car"}]})
    objects = [
        {"classTitle": "car", "geometryType": "rectangle",
         "points": {"exterior": [[0, 0], [11, 9]], "interior": []}},
        {"classTitle": "road", "geometryType": "polygon",
         "points": {"exterior": SQUARE, "interior": [INNER]}},
        {"classTitle": "road", "geometryType": "line",
         "points": {"exterior": SQUARE, "interior": []}},
    ]  # fmt: skip
    content = {"size": {"height": 10, "width": 12}, "objects": objects}
    save("train/ann/a.png.json", content)
    found = convert("supervisely", save("val/ann/a.png.json", {**content, "objects": []}))
    label = found.label("train", "a")
    assert (label == 0).sum() == 49 - 9 and (label[4:7, 4:7] == 1).all()
    assert (found.label("val", "a") == 255).all()
    assert found.space.colors[0] == (10, 11, 12)


@pytest.mark.parametrize("names", ["[road, car]", "\n  0: road\n  1: car"])
def test_yolo_draws_small_regions_over_large_ones(convert, save, image, names):
    image("train/images/a.png")
    image("train/images/b.png")
    save(
        "data.yaml", f"path: /elsewhere\ntrain: ../train/images\nval: train/images\nnames: {names}"
    )
    lines = []
    for number, points in enumerate((INNER, SQUARE)):
        numbers = (np.array(points) / (12, 10)).ravel()
        lines.append(" ".join(map(str, [number, *numbers])))
    root = save("train/labels/a.txt", "\n".join([*lines, "1 0.5 0.5 0.1 0.1", ""]))
    found = convert("yolo", root)
    label = found.label("train", "a")
    assert (label[4:7, 4:7] == 0).all() and (label == 1).sum() == 49 - 9
    assert found.names("val") == ["a", "b"]
    assert "2 pictures without a text file" in found.said
    assert "boxes without a mask: 2" in found.said


def region(kind, value, **more):
    size = {"original_width": 12, "original_height": 10, "image_rotation": 0}
    return {"id": "r", "type": kind, "value": value, **size, **more}


def test_label_studio_reads_every_region(convert, save, image):
    image("pics/a b.png")
    inside = np.zeros((10, 12), np.uint8)
    inside[9, 3:7] = 1
    results = [
        region("polygonlabels", {"points": [[100 * x / 12, 10 * y] for x, y in SQUARE],
                                 "polygonlabels": ["road"]}),
        region("rectanglelabels", {"x": 100 / 3, "y": 40, "width": 100 / 6, "height": 20,
                                   "rotation": 0, "rectanglelabels": ["car", "bus"]}),
        region("brushlabels", {"format": "rle", "rle": brush.encoded(inside),
                               "brushlabels": ["car"]}),
        region("ellipselabels", {"x": 90, "y": 10, "radiusX": 10, "radiusY": 10, "rotation": 0,
                                 "ellipselabels": ["road"]}),
        region("keypointlabels", {"x": 1, "y": 1, "keypointlabels": ["car"]}),
        {"type": "choices", "value": {"choices": ["day"]}},
    ]  # fmt: skip
    tasks = [
        {
            "id": 4,
            "data": {"image": "/data/upload/3/0123abcd-a%20b.png"},
            "annotations": [
                {"result": [], "was_cancelled": False},
                {"result": results, "was_cancelled": False},
                {"result": [], "was_cancelled": True},
            ],
            "predictions": [{"result": []}],
        },
        {"id": 5, "data": {"image": "/data/local-files/?d=pics/none.png"}, "annotations": []},
    ]
    found = convert("label_studio", save("export.json", tasks))
    label = found.label("train", "a b")
    assert found.space.names == ("car", "road")
    assert (label[4:6, 4:6] == 0).all() and (label[9, 3:7] == 0).all() and label[1, 10] == 1
    assert (label[2:8, 2:8] == 1).sum() == 36 - 4
    for line in ("further labels of a region: 1", "points: 1", "tags of whole pictures: 1",
                 "annotations of a picture that has a later one: 1", "skipped in the tool: 1",
                 "1 task without a finished annotation left out"):  # fmt: skip
        assert line in found.said, line


def test_voc_lists_give_the_splits(convert, tmp_path):
    root = exports.voc_export(tmp_path / "in", samples(), SPACE)
    lists = root / "ImageSets" / "Segmentation"
    (lists / "default.txt").unlink()
    (lists / "train.txt").write_text("p0\n")
    (lists / "val.txt").write_text("p2\n")
    found = convert("voc", root)
    assert found.names("train") == ["p0"] and found.names("val") == ["p2"]
    assert "1 mask in no list" in found.said


def test_colours_of_no_class_are_named(convert, tmp_path):
    root = exports.rgb_export(tmp_path / "in", samples(), SPACE)
    mask = SPACE.palette[samples()["p0"][1]]
    mask[0, :2] = (250, 5, 9)
    write(root / "masks" / "p0.png", mask)
    found = convert("rgb", root, classes=str(root / "classes.yaml"))
    assert "one of 1 colour of no class, such as [250, 5, 9]" in found.said
    assert "nearest car" in found.said
    assert (found.label("train", "p0")[0, :2] == 255).all()


@pytest.mark.parametrize("unlabelled", ["ignore", "background"])
def test_ignored_colours_are_ignored(convert, tmp_path, unlabelled):
    root = exports.rgb_export(tmp_path / "in", samples(), SPACE)
    mask = SPACE.palette[samples()["p0"][1]]
    mask[0, :2], mask[0, 2:4] = (250, 5, 9), 0
    write(root / "masks" / "p0.png", mask)
    listed = (root / "classes.yaml").read_text()
    if unlabelled == "background":
        listed += "- {name: background, color: [1, 2, 3]}\n"
    (root / "classes.yaml").write_text(f"{listed}ignore: [[250, 5, 9], [0, 0, 0]]\n")
    found = convert("rgb", root, classes=str(root / "classes.yaml"), unlabelled=unlabelled)
    assert (found.label("train", "p0")[0, :4] == 255).all()
    assert "of no class" not in found.said


def test_colour_masks_in_a_folder_apart(convert, tmp_path):
    root = exports.rgb_export(tmp_path / "in", samples(), SPACE)
    found = convert(
        "rgb", root / "masks", images=root / "images", classes=str(root / "classes.yaml")
    )
    assert found.names("train") == ["p0", "p1", "p2"]
