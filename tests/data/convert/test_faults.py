"""Wrong exports: each fault is one line, and nothing half-made is left."""

import json

import pytest

from gcseg.data.convert.build import Options, build, draw
from gcseg.data.convert.classes import classes_of
from gcseg.data.convert.output import RECORD, new_folder
from gcseg.data.convert.read import read_export
from gcseg.errors import ConfigError, DataError, GcsegError
from tests.data.convert.test_readers import (
    INNER,
    SQUARE,
    coco,
    cvat,
    flat,
    image,
    labelme,
    region,
    shape,
)
from tests.data.trees import picture, write

__all__ = ["image"]

ROAD = {"category_id": 3, "segmentation": [flat(SQUARE)]}


def left(folder):
    """What a conversion has left of its output."""
    return [path.name for path in folder.iterdir() if path.name != "in"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.json can't be read .it is not JSON"),
        ("[" * 100_000, "can't be read"),
        (labelme(shape("car", [[50, 3], [60, 3], [60, 9]])),
         r"shape 1 \(car\) is wholly outside its picture of 10x12"),
        (labelme(shape("", SQUARE)), "shape 1 has no label"),
        (labelme(shape("car", [["x", 1]])), "shape 1 has points that are no pairs"),
        (labelme(shape("car", [[1, 1]], "circle")), "shape 1 is a circle of 1 point"),
        (labelme(shape("car", SQUARE), imageHeight=12),
         "is for a picture of 12x12, but a.png is 10x12"),
        (labelme(shape("car", SQUARE), imagePath="/etc/passwd"), "names the picture /etc/passwd"),
        (labelme(shape("car", SQUARE), imagePath="gone.png"), "which is not in"),
        (labelme(shape("car", SQUARE), imagePath=None), "names no picture"),
        (labelme(1), "no list 'shapes'"),
        ({"version": 1}, "no annotated picture"),
    ],
)  # fmt: skip
def test_wrong_labelme(convert, save, image, tmp_path, content, message):
    image("a.png")
    with pytest.raises(DataError, match=message) as raised:
        convert("labelme", save("a.json", content), classes=["car", "b"])
    assert "\n" not in str(raised.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, "has no images, annotations, categories"),
        (coco([{**ROAD, "category_id": 9}]), "annotation 50 has the category 9, which the file"),
        (coco([{**ROAD, "segments_info": []}]), "COCO's panoptic form"),
        (coco([{**ROAD, "segmentation": {"counts": [5], "size": [10, 11]}}]),
         "run lengths of size .10, 11., and its picture is 10x12"),
        (coco([{**ROAD, "segmentation": {"counts": [5], "size": [10, 12]}}]),
         "run lengths of 5 pixels"),
        (coco([{**ROAD, "segmentation": 5}]), "no segmentation that is read"),
        (coco([ROAD], images=[{"id": 7, "file_name": "a.png", "height": 10}]), "number as its wid"),
        (coco([ROAD], images=[{"id": "x"}]), "no whole number as its id"),
        (coco([ROAD], images=[{"id": 7, "file_name": "a.png", "height": 10, "width": 12}] * 2),
         "picture 7 is listed twice"),
        (coco([ROAD], images=[{"id": n, "file_name": "a.png", "height": 10, "width": 12}
                              for n in (7, 8)]), "a.png is annotated twice, in .*7 and in .*8"),
    ],
)  # fmt: skip
def test_wrong_coco(convert, save, image, tmp_path, content, message):
    image("a.png")
    with pytest.raises(DataError, match=message):
        convert("coco", save("a.json", content))
    assert left(tmp_path) == []


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in ("ab", "bc", "cd", "de"))
    + "]><annotations>&e;</annotations>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>&a;</annotations>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "it declares a document type"),
        (OUTSIDE, "it declares a document type"),
        ("<annotations>" + "<a>" * 200, "nested in more than 50 levels"),
        ("<annotations>", "can't be read"),
        ("<other/>", "no annotated picture"),
        ("<annotations><track id='0'/></annotations>", "tracks of a video"),
        (cvat(name="b.png"), "names the picture b.png"),
        (cvat('<polygon label="car" points="1;2"/>'), "no pairs of numbers"),
        (cvat('<polygon points="1,2"/>'), "has no label"),
        (cvat('<mask label="car" rle="5" left="0" top="0" width="2" height="2"/>'),
         "run lengths of 5 pixels, and not of 2x2"),
        (cvat('<mask label="car" rle="5" left="0" top="0" width="90000" height="90000"/>'),
         "is 90000x90000"),
        (cvat('<mask label="car" rle="200" left="0" top="0" width="20" height="10"/>'),
         "larger than its picture"),
        (cvat('<box label="car" xtl="a" ytl="0" xbr="1" ybr="1"/>'), "no number as its xtl"),
        (cvat('<box label="car" xtl="1" ytl="0" xbr="1e9" ybr="1"/>'), "far outside"),
    ],
)  # fmt: skip
def test_wrong_cvat(convert, save, image, content, message):
    image("a.png")
    with pytest.raises(DataError, match=message):
        convert("cvat", save("annotations.xml", content))


@pytest.mark.parametrize(
    ("yaml", "text", "message"),
    [
        ("names: [road, car]\ntrain: images/x", "", "in which .* has no pictures"),
        ("train: images", "", "has no names of the classes"),
        ("names: {a: road, b: car}\ntrain: images", "", "keys are no numbers"),
        ("names: [road, car]\ntrain: images", "2 0 0 1 0 1 1", "line 1 has the class 2"),
        ("names: [road, car]\ntrain: images", "0 0 0 1 0 x 1", "no pairs of numbers"),
        ("names: [road, car]\ntrain: images", "0 2 2 3 2 3 3", "wholly outside"),
        ("names: [road, car]\ntrain: ../../..", "0 0 0 1 0 1 1", None),
        ("a: &a [1]\nnames: &b [*a, *b]\ntrain: images", "", "can't be read"),
    ],
)
def test_wrong_yolo(convert, save, image, yaml, text, message):
    image("images/a.png")
    save("labels/a.txt", text)
    if message is None:  # never leads out of the folder
        assert convert("yolo", save("data.yaml", yaml)).names("train") == ["a"]
        return
    with pytest.raises(DataError, match=message):
        convert("yolo", save("data.yaml", yaml))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (region("brushlabels", {"rle": [0] * 9, "brushlabels": ["a"]}), "brush mask of 0 pixels"),
        (region("polygonlabels", {"points": [[1]], "polygonlabels": ["a"]}), "no pairs of numbers"),
        (region("polygonlabels", {"points": [[1, 1]], "polygonlabels": ["a"]}, image_rotation=90),
         "was turned in Label Studio"),
        (region("rectanglelabels", {"x": 1, "rectanglelabels": ["a"]}), "no number as its y"),
        (region("brushlabels", {"brushlabels": ["a"]}, original_width=11), "picture of 10x11"),
    ],
)  # fmt: skip
def test_wrong_label_studio(convert, save, image, value, message):
    image("a.png")
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [value]}]}
    with pytest.raises(DataError, match=message):
        convert("label_studio", save("a.json", [task]), classes=["a", "b"])


def test_label_studios_other_exports(convert, save):
    with pytest.raises(DataError, match="export as JSON, not as JSON-MIN"):
        convert("label_studio", save("a.json", [{"image": "a.png", "label": []}]))


def test_wrong_supervisely(convert, save, image):
    image("ds/img/a.png")
    size = {"height": 10, "width": 12}
    root = save("ds/ann/a.png.json", {"size": size, "objects": []})
    with pytest.raises(DataError, match=r"has 0 files meta\.json"):
        convert("supervisely", root)
    save("meta.json", {"classes": [{"title": "road"}, {"title": "car"}]})
    wrong = {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"data": "", "origin": [0]}}
    save("ds/ann/a.png.json", {"size": size, "objects": [wrong]})
    with pytest.raises(DataError, match="no pairs of numbers"):
        convert("supervisely", root)


def test_masks_of_another_size(convert, save, image):
    image("images/a.png")
    write(save("classes.yaml", "classes: [a, b]") / "masks" / "a.png", picture(1, 9, 12))
    root = save(
        "classes.yaml", "classes: [{name: a, color: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]"
    )
    write(root / "masks" / "a.png", picture(1, 9, 12) // 255)
    with pytest.raises(DataError, match="mask is 9x12 and the picture 10x12"):
        convert("rgb", root, classes=str(root / "classes.yaml"))


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("classes: [a, b]", "the class list gives none: give each class its color"),
        (
            "classes: [{name: a, color: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]\n"
            "ignore: [[1, 1, 1]]",
            "b and ignored have the same colour",
        ),
    ],
)
def test_colours_that_are_not_given_or_mean_two_things(convert, save, image, listed, message):
    image("images/a.png")
    root = save("classes.yaml", listed)
    write(root / "masks" / "a.png", picture(1, 10, 12))
    with pytest.raises(ConfigError, match=message):
        convert("rgb", root, classes=str(root / "classes.yaml"))


def test_several_faults_are_all_listed(convert, save, image, tmp_path):
    for name in "abc":
        image(f"{name}.png", ord(name))
        points = [[50, 3], [60, 3], [60, 9]] if name != "b" else SQUARE
        root = save(f"{name}.json", labelme(shape("car", points), imagePath=f"{name}.png"))
    said = []
    read = read_export("labelme", root, None, tmp_path / "out", None)
    with pytest.raises(DataError, match="2 of 3 pictures can't be converted"):
        build(read, ["car", "b"], Options(tmp_path / "out", "ignore"), (root,),
              progress=lambda *_: None, say=said.append)  # fmt: skip
    assert len(said) == 2 and "a.json: shape 1" in said[0] and "c.json: shape 1" in said[1]
    assert left(tmp_path) == []


def test_unlabelled_pixels_need_a_word(convert, save, image, tmp_path):
    image("a.png")
    root = save("a.json", labelme(shape("car", SQUARE), shape("road", INNER)))
    with pytest.raises(ConfigError, match=r"59\.17 % of the pixels of a\.png have no label"):
        convert("labelme", root, unlabelled=None)
    assert left(tmp_path) == []
    found = convert("labelme", root, unlabelled="background")
    assert found.space.names == ("background", "car", "road")
    assert (found.label("train", "a") == 0).sum() == 71
    assert "59.17 % of the pixels have no label and are background" in found.said


def test_one_label_needs_a_background(convert, save, image):
    image("a.png")
    root = save("a.json", labelme(shape("car", SQUARE)))
    with pytest.raises(ConfigError, match="only the label car is in the annotations"):
        convert("labelme", root)
    assert convert("labelme", root, unlabelled="background").space.num_classes == 2


def test_labels_that_are_no_class_hide_what_is_below(convert, save, image):
    image("a.png")
    root = save("a.json", labelme(shape("car", SQUARE), shape("tree", INNER)))
    found = convert("labelme", root, classes=["road", "car"])
    label = found.label("train", "a")
    assert (label[4:7, 4:7] == 255).all() and (label == 1).sum() == 40
    assert "labels that are no class: tree (7.50 %)" in found.said


def test_a_class_list_gives_values(convert, save, image):
    image("a.png")
    classes = "classes: [{name: car, value: 7}, {name: background, value: 3}]"
    root = save("list.yaml", classes)
    save("a.json", labelme(shape("car", SQUARE)))
    found = convert("labelme", root, classes=str(root / "list.yaml"), unlabelled="background")
    assert (found.label("train", "a") == 0).sum() == 49
    assert "classes: car 7, background 3" in found.lines


def test_shapes_that_reach_out_are_clipped_and_counted(convert, save, image):
    image("a.png")
    root = save("a.json", labelme(shape("car", [[-9, 0], [3, 0], [3, 20], [-9, 20]])))
    found = convert("labelme", root, unlabelled="background")
    assert (found.label("train", "a")[:, :4] == 1).all()
    assert "1 shape beyond the edge of the picture, clipped, such as car" in found.said


def test_pictures_outside_are_not_read(convert, save, image, tmp_path):
    image("a.png")
    write(tmp_path / "secret" / "b.png", picture(1, 10, 12))
    root = save("b.json", labelme(shape("car", SQUARE), imagePath="../secret/b.png"))
    with pytest.raises(DataError, match="which is not in"):
        convert("labelme", root, classes=["car", "b"])
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="which is not in"):
        convert("labelme", root, classes=["car", "b"])
    found = convert("labelme", root, classes=["car", "b"], images=tmp_path / "secret")
    assert found.names("train") == ["b"]
    assert "1 file left out, as links lead out of the folder" in found.said


def test_a_picture_with_two_places(convert, save, image):
    image("x/a.png")
    image("y/a.png")
    root = save("a.json", labelme(shape("car", SQUARE), imagePath="C:\\pics\\a.png"))
    with pytest.raises(DataError, match=r"which may be .*x/a.png or .*y/a.png"):
        convert("labelme", root)
    save("a.json", labelme(shape("car", SQUARE), imagePath="C:\\pics\\y\\a.png"))
    found = convert("labelme", root, unlabelled="background")
    assert "1 picture found by name in another folder" in found.said


def test_names_that_differ_in_the_suffix(convert, save, image):
    image("a.png")
    image("a.bmp", 1)
    save("a.json", labelme(shape("car", SQUARE)))
    root = save("a2.json", labelme(shape("b", INNER), imagePath="a.bmp"))
    found = convert("labelme", root)
    assert found.names("train") == ["a.bmp", "a.png"]
    assert (found.label("train", "a.png") != 255).sum() == 49


def test_what_is_there_is_not_replaced_unasked(convert, save, image, tmp_path):
    image("a.png")
    root = save("a.json", labelme(shape("car", SQUARE), shape("b", INNER)))
    out = tmp_path / "out"
    out.mkdir()
    convert("labelme", root)
    with pytest.raises(ConfigError, match="add overwrite=true to replace it"):
        convert("labelme", root)
    image("a.png", 5)
    found = convert("labelme", root, overwrite=True)
    assert (out / "images" / "train" / "a.png").read_bytes() == (root / "a.png").read_bytes()
    assert json.loads((found.folder / RECORD).read_text())["splits"] == {"train": 1}
    (out / RECORD).unlink()
    with pytest.raises(ConfigError, match="holds other files"):
        convert("labelme", root, overwrite=True)


def test_output_must_not_hold_the_source(save, tmp_path):
    root = save("a.json", {})
    with (
        pytest.raises(ConfigError, match="holds what is read"),
        new_folder(tmp_path, overwrite=True, sources=(root,)),
    ):
        pass


def test_an_interruption_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    with (
        pytest.raises(KeyboardInterrupt),
        new_folder(out, overwrite=False, sources=()) as folder,
    ):
        (folder / "classes.yaml").write_text("")
        raise KeyboardInterrupt
    assert left(tmp_path) == []
    dead = tmp_path / ".out.999999999.new"  # of a killed process
    dead.mkdir()
    (dead / "half").write_text("")
    other = tmp_path / ".outer.999999999.new"
    other.mkdir()
    with new_folder(out, overwrite=False, sources=()) as folder:
        (folder / RECORD).write_text("{}")
    assert sorted(left(tmp_path)) == [".outer.999999999.new", "out"]


def test_a_kill_while_replacing_brings_the_old_back(tmp_path):
    old = tmp_path / ".out.999999999.old"
    old.mkdir()
    (old / RECORD).write_text("{}")
    with (
        pytest.raises(KeyboardInterrupt),
        new_folder(tmp_path / "out", overwrite=True, sources=()),
    ):
        raise KeyboardInterrupt
    assert (tmp_path / "out" / RECORD).is_file() and left(tmp_path) == ["out"]


def test_links_take_no_space(convert, save, image):
    file = image("a.png")
    found = convert(
        "labelme", save("a.json", labelme(shape("car", SQUARE), shape("b", INNER))), copy=False
    )
    assert (found.folder / "images" / "train" / "a.png").samefile(file)


def test_an_archive_has_to_be_unpacked(convert, save):
    with pytest.raises(DataError, match="is an archive: unpack it"):
        convert("cvat", save("a.zip", "") / "a.zip")


def test_images_settles_which_of_two(convert, save, image, tmp_path):
    image("x/a.png")
    image("y/a.png", 1)
    root = save("a.json", labelme(shape("car", SQUARE), imagePath="C:\\pics\\a.png"))
    found = convert("labelme", root, unlabelled="background", images=root / ".." / "in" / "y")
    found = (found.folder / "images" / "train" / "a.png").read_bytes()
    assert found == (root / "y" / "a.png").read_bytes()


ODD = (None, -1.5, 10**400, "\ud800", [], [[]], {})


def places(content, path=()):
    """The way to every value in JSON."""
    yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*path, key))


def replaced(content, path, value):
    if not path:
        return value
    copy = content.copy()
    copy[path[0]] = replaced(content[path[0]], path[1:], value)
    return copy


WHOLE = {
    "labelme": labelme(shape("car", SQUARE), shape("b", INNER[:2], "circle")),
    "coco": coco([ROAD, {**ROAD, "segmentation": {"counts": [60, 60], "size": [10, 12]}}]),
    "label_studio": [
        {"data": {"image": "a.png"}, "annotations": [{"result": [
            region("polygonlabels", {"points": SQUARE, "polygonlabels": ["car"]}),
            region("brushlabels", {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["b"]}),
            region("ellipselabels", {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4, "rotation": 5,
                                     "ellipselabels": ["b"]}),
        ]}]}
    ],
    "supervisely": {"size": {"height": 10, "width": 12}, "tags": [{"name": "val"}], "objects": [
        {"classTitle": "car", "geometryType": "polygon",
         "points": {"exterior": SQUARE, "interior": [INNER]}},
        {"classTitle": "b", "geometryType": "bitmap", "bitmap": {"data": "a", "origin": [1, 2]}},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("form", WHOLE)
def test_odd_values_anywhere_end_in_a_line(save, image, tmp_path, form):
    image("a.png")
    image("ds/img/a.png")
    if form == "supervisely":
        save("meta.json", {"classes": [{"title": "car"}, {"title": "b"}]})
    classes = classes_of(["car", "b", "road"], {}, "ignore")
    number = 0
    for path in places(WHOLE[form]):
        for value in ODD:
            name = "ds/ann/a.png.json" if form == "supervisely" else "a.json"
            root = save(name, json.dumps(replaced(WHOLE[form], path, value)))
            number += 1
            try:
                for drawing in read_export(form, root, None, tmp_path / "out", None).drawings:
                    draw(drawing.read(), 10, 12, classes, drawing.source)
            except GcsegError as error:
                assert "\n" not in str(error)
    assert number > 120
