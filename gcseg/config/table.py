"""Every setting with its allowed values, for the check, its messages and docs/settings.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gcseg.config.row import MANY, Row

LARGEST_SEED = 2**32 - 1
LARGEST_RATE = 1e30
"""Largest learning rate, as optimizers store it in single precision."""


def _of(topic: str, commands: str, *rows: Row) -> tuple[Row, ...]:
    users = tuple(commands.split())
    return tuple(replace(row, topic=topic, commands=users) for row in rows)


ALL = "train data eval predict attention report export benchmark submit publish verify demo"
"""Primary configurations with a network."""

NETWORK = "Network"
DATASET = "Dataset"
AUGMENTATION = "Augmentation and sampling"
PROTOCOL = "Normalisation and protocol"
OPTIMISATION = "Optimisation"
EVALUATION = "Evaluation and prediction"
OUTPUT = "Validation, logs and output"
MACHINE = "Machine and memory"
SWEEPS = "Sweeps"
EXPORTS = "Exports"
PUBLISHING = "Publishing"
REPORTS = "Reports"
DATA_TOOLS = "Tools for data"
DASHBOARD = "Weights & Biases dashboard"

_SCALES: Any = {"least": 0.1, "most": 8, "listed": "must", "count": (1, 20)}
_MEAN: Any = {"least": 0, "most": 1, "listed": "must", "count": (1, 16)}
_STD: Any = {**_MEAN, "open": "least"}
_STEPS: Any = {"most": 10**9, "unit": "optimizer steps"}
_PIXELS: Any = {"most": 8192, "unit": "pixels"}

_LOSSES = tuple(f"gcseg.losses.{name}" for name in
                ("CrossEntropy", "Ohem", "Focal", "Dice", "Tversky", "Lovasz"))  # fmt: skip


def _loss_rows(prefix: str, added: tuple[str, ...] = ()) -> tuple[Row, ...]:
    """Return the rows of the settings of single losses.

    Args:
        prefix: Name of the loss's mapping.
        added: Settings that no file of conf/ has there.
    """
    rows = (
        Row("gamma", "number", "focal: exponent; 0 is cross entropy", 0, 100),
        Row("threshold", "number", "ohem: probability of the true class below which a pixel is "
            "kept", 0, 1, open="least"),
        Row("min_kept", "whole number", "ohem: least number of pixels kept of a forward pass, "
            "over all devices", 0, 10**9, "pixels"),
        Row("alpha", "number", "tversky: weight of false positives", 0, 1000),
        Row("beta", "number", "tversky: weight of false negatives", 0, 1000),
        Row("smooth", "number", "dice, tversky: pixels added above and below the line", 0, MANY),
        Row("per_image", "switch", "dice, tversky, lovasz: whether the overlap is that of single "
            "images, averaged, or of the batch"),
        Row("classes", "choice", "dice, tversky: classes that the mean is over: those that are "
            "labelled, or all", choices=("present", "all")),
    )  # fmt: skip
    return tuple(replace(row, name=f"{prefix}.{row.name}", added=row.name in added) for row in rows)


def _block(at: str) -> tuple[Row, ...]:
    """Return the rows of a context block's settings, at a place in the network."""
    return (
        Row(f"{at}.name", "name", "name of the block in the run's name", needed=True, own=True),
        Row(
            f"{at}._target_",
            "callable",
            "class that builds a block; null: no block",
            choices=(
                "gcseg.models.GlobalContextBlock",
                "gcseg.models.NonLocalBlock",
                "gcseg.models.SimplifiedNonLocalBlock",
                "gcseg.models.SqueezeExcitationBlock",
                "gcseg.models.DisentangledNonLocalBlock",
            ),
            also=(None,),
            needed=True,
        ),
        Row(
            f"{at}.ratio",
            "number",
            "hidden width of a block, as a fraction of its channels",
            0,
            4,
            open="least",
        ),
        Row(
            f"{at}.pooling",
            "choice",
            "how a global context block gathers the context",
            choices=("attention", "average"),
        ),
        Row(
            f"{at}.fusion",
            "choice",
            "how a global context block merges the context into the features",
            choices=("add", "multiply", "add+multiply"),
        ),
        Row(
            f"{at}.layer_norm",
            "switch",
            "whether the transform of a global context block has a layer norm",
        ),
        Row(
            f"{at}.pairwise",
            "choice",
            "weight of a pair of positions in non-local blocks "
            "(disentangled: the first or the third)",
            choices=("embedded_gaussian", "gaussian", "dot_product", "concatenation"),
        ),
        Row(
            f"{at}.scale",
            "switch",
            "whether the embedded Gaussian divides products by the root of the hidden width",
        ),
        Row(f"{at}.batch_norm", "switch", "whether a batch norm ends a non-local block"),
        Row(f"{at}.relu", "switch", "whether a ReLU ends a non-local block, as in PaddleSeg"),
        Row(
            f"{at}.temperature",
            "number",
            "divisor of the products of a disentangled block",
            0,
            1e6,
            open="least",
        ),
    )


TABLE: tuple[Row, ...] = (
    *_of(
        NETWORK, ALL,
        Row("backbone", "settings", "backbone of the network: backbone=r18", needed=True),
        Row("backbone.name", "name", "name of the backbone in the run's name", needed=True,
            own=True),
        Row("backbone._target_", "callable", "function that builds the backbone",
            choices=("gcseg.models.resnet", "gcseg.models.timm_backbone"), needed=True),
        Row("backbone.depth", "choice", "number of layers of the ResNet",
            choices=(18, 34, 50, 101, 152)),
        Row("backbone.variant", "choice", "variant of the ResNet: PaddleSeg's (vd), "
            "mmsegmentation's (v1c, v1d), torchvision's (v1b) or timm's (d)",
            choices=("vd", "v1c", "v1d", "v1b", "d")),
        Row("backbone.output_stride", "choice", "stride of the last stage's features",
            choices=(8, 16, 32)),
        Row("backbone.multi_grid", "whole number", "factors of the dilation in the last stage's "
            "three blocks, as [1,2,4]", 1, 16, also=(None,), listed="must", count=(3, 3),
            added=True),
        Row("backbone.model", "name", "name of the network in timm"),
        Row("backbone.drop_path_rate", "number", "probability of skipping the last residual branch "
            "of a network of timm in training", 0, 1, open="most"),
        Row("backbone.pretrained", "path", "weights to start from, such as ImageNet's: a file, a "
            "folder of a run, or a name of gcseg.weights list; true: with backbone=timm, those of "
            "its hub", also=(None, True),
            own=True),
        Row("backbone.context", "settings", "context blocks in residual blocks: "
            "backbone/context=gc", also=(None,)),
        *_block("backbone.context"),
        Row("backbone.context.position", "choice", "place in the residual block",
            choices=("after_3x3", "after_1x1", "after_add")),
        Row("backbone.context.stages", "choice", "stages with context blocks",
            choices=(1, 2, 3, 4), listed="must"),
        Row("backbone.context.blocks", "whole number", "numbers of the residual blocks in each "
            "stage, from 0, or from -1 for the last backwards", -36, 35, also=("all",),
            listed="must"),
        Row("head", "settings", "head of the network: head=gc", needed=True),
        Row("head.name", "name", "name of the head in the run's name", needed=True, own=True),
        Row("head._target_", "callable", "class that builds the head",
            choices=("gcseg.models.GCHead", "gcseg.models.FCNHead", "gcseg.models.PSPHead",
                     "gcseg.models.DANetHead", "gcseg.models.CCNetHead",
                     "gcseg.models.DeepLabV3PlusHead", "gcseg.models.UPerNetHead",
                     "gcseg.models.OCRHead"), needed=True),
        Row("head.channels", "whole number", "output channels of the head's convolutions", 1,
            16384, "channels"),
        Row("head.ratio", "number", "hidden width of the context block, as a fraction of its "
            "channels", 0, 4, open="least"),
        Row("head.pooling", "choice", "how the context block gathers the context",
            choices=("attention", "average")),
        Row("head.fusion", "choice", "how the context is merged into the features",
            choices=("add", "multiply", "add+multiply")),
        Row("head.pooled_channels", "whole number", "channels of each pooled map of head=psp "
            "or upernet; null: those of the features divided by the number of bins", 1, 16384,
            "channels", also=(None,)),
        Row("head.bins", "whole number", "rows and columns of each grid that head=psp or "
            "upernet pools to", 1, 64, listed="must"),
        Row("head.attention_channels", "whole number", "channels of the features whose products "
            "weigh pairs of positions in head=danet; null: an eighth of head.channels", 1, 16384,
            "channels", also=(None,)),
        Row("head.recurrence", "whole number", "passes of the attention of head=ccnet", 1, 16),
        Row("head.negative_slope", "number", "slope for negative numbers of the activations next "
            "to the attention of head=ccnet", 0, 1, open="most"),
        Row("head.low_channels", "whole number", "channels to which head=deeplabv3plus reduces the "
            "first stage's features", 1, 16384, "channels"),
        Row("head.dilations", "whole number", "dilations of the convolutions in the pyramid of "
            "head=deeplabv3plus", 1, 256, "positions of the features", listed="must"),
        Row("head.pyramid_kernel", "choice", "size of the kernel that joins the pyramid of "
            "head=deeplabv3plus", choices=(1, 3)),
        Row("head.depthwise_relu", "switch", "whether a ReLU follows each depthwise convolution of "
            "head=deeplabv3plus"),
        Row("head.inner_align_corners", "switch", "whether head=upernet resizes features with "
            "aligned corners; null: as head.align_corners", also=(None,)),
        Row("head.key_channels", "whole number", "channels of queries, keys and values of head=ocr",
            1, 16384, "channels"),
        Row("head.conv_bias", "switch", "whether convolutions before batch norm have a bias"),
        Row("head.dropout", "number", "dropout probability before the classifier", 0, 1,
            open="most"),
        Row("head.context", "settings", "context block of head=fcn: context=gc", also=(None,)),
        *_block("head.context"),
        Row("head.align_corners", "switch", "whether logits are resized with aligned corners",
            own=True),
        Row("head.asymmetric", "switch", "whether logits are resized with aligned upper left "
            "corners, as in PaddleSeg's DANet and DNLNet", own=True),
        Row("auxiliary_head", "settings", "auxiliary head on the third stage: auxiliary_head=fcn",
            needed=True),
        Row("auxiliary_head._target_", "callable", "class that builds the auxiliary head; null: no "
            "auxiliary head", choices=("gcseg.models.AuxiliaryHead",), also=(None,), needed=True),
        Row("auxiliary_head.channels", "whole number", "output channels of the auxiliary head's "
            "convolution; null: a quarter of the stage's channels", 1, 16384, "channels",
            also=(None,)),
        Row("auxiliary_head.conv_bias", "switch", "whether the auxiliary head's convolution before "
            "batch norm has a bias"),
        Row("auxiliary_head.dropout", "number", "dropout probability before the auxiliary "
            "classifier", 0, 1, open="most"),
    ),
    *_of(
        DATASET, f"{ALL} submit_check",
        Row("dataset", "settings", "dataset, its splits and sizes: dataset=folder", needed=True),
        Row("dataset.name", "name", "name of the dataset in the run's name", needed=True),
        Row("dataset.root", "path", "folder of the dataset", needed=True),
        Row("dataset.reader", "settings", "function that reads the dataset, with its arguments",
            needed=True),
        Row("dataset.reader._target_", "callable", "function that reads the dataset", needed=True,
            choices=("gcseg.data.ade20k.ade20k", "gcseg.data.cityscapes.cityscapes",
                     "gcseg.data.folder.camvid", "gcseg.data.folder.folder",
                     "gcseg.data.scenes.dataset.scenes", "gcseg.data.voc.voc")),
        Row("dataset.reader.classes", "path", "folder: class list, relative to dataset.root"),
        Row("dataset.reader.images", "pattern", "folder: where the images are, or a list "
            "of them"),
        Row("dataset.reader.bands", "text", "folder: files of the bands of an image, as "
            "B02/{split}/{name}.tif", listed="must", count=(1, 16), also=(None,)),
        Row("dataset.reader.labels", "pattern", "folder: where the masks are"),
        Row("dataset.reader.label_ending", "ending", "folder: end of a mask's name after the name "
            "of its image, as _mask"),
        Row("dataset.reader.split_list", "pattern", "folder: list of the images in a split; null: "
            "all", also=(None,)),
        Row("dataset.reader.outside", "switch", "folder: whether a list of images may name files "
            "outside dataset.root"),
        Row("dataset.reader.masks", "choice", "folder: content of the masks",
            choices=("auto", "values", "colors")),
        Row("dataset.reader.unknown_colors", "choice", "folder: treatment of colours in masks that "
            "no class has", choices=("error", "nearest", "ignored")),
        Row("dataset.reader.reduce_zero_label", "switch", "ADE20k: whether value 0 is ignored"),
        Row("dataset.reader.layout", "choice", "scenes: file layout",
            choices=("cityscapes", "voc")),
        Row("dataset.reader.train", "whole number", "scenes: size of the train split", 0, 100_000,
            "images"),
        Row("dataset.reader.val", "whole number", "scenes: size of the val split", 0, 100_000,
            "images"),
        Row("dataset.reader.height", "whole number", "scenes: height of each image", 32,
            **_PIXELS),
        Row("dataset.reader.width", "whole number", "scenes: width of each image", 32, **_PIXELS),
        Row("dataset.reader.seed", "whole number", "scenes: random seed of the drawing", 0,
            LARGEST_SEED),
        Row("dataset.reader.draw", "switch", "scenes: whether missing images are drawn"),
        Row("dataset.channels", "whole number", "channels of an image", 1, 16, "channels"),
        Row("dataset.scale", "number", "raw value that counts as 1, or those that count as 0 and "
            "1; null: images of 8 bits", listed="may", count=(2, 2), also=(None,)),
        Row("dataset.nodata", "number", "raw value of pixels without data, which are ignored like "
            "NaN; nan: NaN alone; null: NaN is an error", also=(None, "nan")),
        Row("dataset.splits", "settings", "splits by their use", needed=True),
        Row("dataset.splits.train", "text", "split to train on", needed=True),
        Row("dataset.splits.val", "text", "split to validate and score on", needed=True),
        Row("dataset.splits.*", "text", "another split"),
        Row("dataset.val_fraction", "number", "fraction of the training split to validate on "
            "instead of training on it", 0, 1, open="both", also=(None,)),
        Row("dataset.fold", "fold", "fold of the training split to validate on instead of training "
            "on it", also=(None,)),
        Row("dataset.group", "template", "with val_fraction or fold: form of the images' names; "
            "those that agree in {group} stay together", also=(None,)),
        Row("dataset.split_seed", "whole number", "random seed of val_fraction, fold and fraction",
            0, LARGEST_SEED),
        Row("dataset.fraction", "number", "fraction of the training images to use", 0, 1,
            open="least"),
        Row("dataset.crop", "settings", "size of training crops", needed=True),
        Row("dataset.crop.height", "whole number", "height of a training crop", 32, 4096, "pixels",
            needed=True),
        Row("dataset.crop.width", "whole number", "width of a training crop", 32, 4096, "pixels",
            needed=True),
        Row("dataset.fit", "settings", "rectangle that mmsegmentation's recipe and protocol resize "
            "images to fit into", also=(None,)),
        Row("dataset.fit.long", "whole number", "longer side of that rectangle; long and short "
            "null: images keep their size", 1, 65536, "pixels", also=(None,)),
        Row("dataset.fit.short", "whole number", "shorter side of that rectangle", 1, 65536,
            "pixels", also=(None,)),
        Row("dataset.pad", "settings", "smallest size in evaluation: smaller images are padded to "
            "it", needed=True),
        Row("dataset.pad.height", "whole number", "smallest height; 0: no padding", 0, **_PIXELS,
            needed=True),
        Row("dataset.pad.width", "whole number", "smallest width; 0: no padding", 0, **_PIXELS,
            needed=True),
        Row("dataset.iters", "whole number", "default of iters", 1, **_STEPS),
        Row("dataset.batch_size", "whole number", "default of batch_size", 1, MANY, "images"),
    ),
    *_of(
        DATASET, "train data eval publish verify",
        Row("dataset.cache", "choice", "cache of decoded images: none, in memory or on disk",
            choices=("none", "ram", "disk"), needed=True),
        Row("dataset.cache_folder", "path", "folder for cache=disk; null: decoded/ in GCSEG_CACHE "
            "or in the user's cache", also=(None,), needed=True),
    ),
    *_of(
        AUGMENTATION, "train data",
        Row("augment", "settings", "random changes of training images: augment=published",
            needed=True),
        Row("augment.scale", "settings", "random resizing of the image before cropping",
            needed=True),
        Row("augment.scale.min", "number", "smallest scale factor", 0.05, 20, needed=True),
        Row("augment.scale.max", "number", "largest scale factor", 0.05, 20, needed=True),
        Row("augment.scale.step", "number", "step between scale factors; 0: any factor from min to "
            "max", 0, 20, needed=True),
        Row("augment.scale.fit", "settings", "rectangle to scale and to fit the image into; null: "
            "the image itself is scaled", also=(None,)),
        Row("augment.scale.fit.long", "whole number", "longer side of that rectangle", 1, 65536,
            "pixels", also=(None,)),
        Row("augment.scale.fit.short", "whole number", "shorter side of that rectangle", 1, 65536,
            "pixels", also=(None,)),
        Row("augment.cat_max_ratio", "number", "largest share of one class in a crop; 1: no limit",
            0, 1, open="least"),
        Row("augment.color", "settings", "random changes of colours; null: none", also=(None,),
            needed=True),
        Row("augment.color._target_", "callable", "class that changes the colours",
            choices=("gcseg.data.colors.RandomDistort", "gcseg.data.colors.PhotometricDistortion")),
        Row("augment.color.brightness", "number", "largest change of brightness: a fraction, or "
            "with PhotometricDistortion levels of 255", 0, 255),
        Row("augment.color.contrast", "number", "largest relative change of contrast", 0, 10),
        Row("augment.color.saturation", "number", "largest relative change of saturation", 0, 10),
        Row("augment.color.hue", "number", "largest change of hue, in degrees", 0, 180),
        Row("augment.color.probability", "number", "probability of each change of colours", 0, 1),
        Row("augment.flip", "number", "probability of a horizontal flip", 0, 1, needed=True),
        Row("augment.padding", "choice", "colour of the padding", choices=("grey", "mean")),
        Row("augment.pad_before_flip", "switch", "whether the padding is flipped with the image"),
        Row("augment.extra", "settings", "more albumentations transforms, by name",
            count=(0, 1000), needed=True),
        Row("augment.extra.*", "transform", "an albumentations transform", added=True),
        Row("augment_on", "choice", "where colours, flip and normalisation are computed",
            choices=("cpu", "device"), needed=True),
        Row("sampling", "settings", "more samples of rare classes", needed=True),
        Row("sampling.repeat_threshold", "number", "images are drawn more often if they have a "
            "class that is in fewer than this fraction of all images; 0: off", 0, 1, needed=True),
        Row("sampling.rare_crop", "number", "probability that a crop is placed on a rare class", 0,
            1, needed=True),
        Row("sampling.copy_paste", "number", "probability that a rare class is pasted in from "
            "another image", 0, 1, needed=True),
        Row("sampling.temperature", "number", "temperature of the choice of the rare class; lower "
            "values prefer rarer classes more", 0, 1000, open="least", needed=True),
    ),
    *_of(
        PROTOCOL, ALL,
        Row("normalize", "settings", "normalisation of images before the network: "
            "normalize=protocol", needed=True),
        Row("normalize.mean", "number", "mean per channel, for values in 0..1", **_MEAN,
            needed=True),
        Row("normalize.std", "number", "standard deviation per channel, for values in 0..1",
            **_STD, needed=True),
        Row("protocol", "settings", "the framework whose scoring is followed: protocol=paddleseg",
            needed=True),
        Row("protocol.name", "name", "name of the framework"),
        Row("protocol.mean", "number", "mean for normalize=protocol", **_MEAN),
        Row("protocol.std", "number", "standard deviation for normalize=protocol", **_STD),
        Row("protocol.average", "choice", "default of tta.average",
            choices=("logits", "probabilities"), needed=True),
        Row("protocol.scales", "number", "default of tta.scales", **_SCALES, needed=True),
        Row("protocol.resize", "choice", "pad: images keep their size and are padded to "
            "dataset.pad; fit: images are resized to fit into dataset.fit",
            choices=("pad", "fit"), needed=True),
    ),
    *_of(
        OPTIMISATION, "train data",
        Row("iters", "whole number", "length of the training", 1, **_STEPS, needed=True),
        Row("epochs", "number", "length of the training in passes over the training split, instead "
            "of iters; rounded up to whole steps", 0, MANY, open="least", also=(None,),
            needed=True),
        Row("batch_size", "whole number", "images per optimizer step, over all devices and "
            "accumulated passes", 1, MANY, "images", needed=True),
        Row("seed", "whole number", "random seed of weights, sample order and augmentation", 0,
            LARGEST_SEED, needed=True),
        Row("checkpoint", "path", "weights to start from: a file, a run folder, a published "
            "folder, a name of gcseg.weights list, or hf://owner/name", also=(None,), needed=True),
        Row("strict", "switch", "whether all weights of checkpoint= must fit; false: those that "
            "fit are loaded", needed=True),
        Row("backbone.freeze", "choice", "part of the backbone that is not trained, batch norm's "
            "statistics included: a number is the stem and so many stages",
            choices=("none", "stem", 1, 2, 3, 4, "all"), own=True),
        Row("optim", "settings", "optimizer and learning rate: optim=sgd", needed=True),
        Row("optim._target_", "callable", "function that makes the optimizer and the schedule",
            needed=True, choices=("gcseg.optim.sgd", "gcseg.optim.adamw")),
        Row("optim.lr", "number", "learning rate at the start of the decay", 0, LARGEST_RATE,
            open="least"),
        Row("optim.momentum", "number", "momentum of SGD", 0, 1, open="most"),
        Row("optim.betas", "number", "betas of AdamW", 0, 1, open="most", listed="must",
            count=(2, 2)),
        Row("optim.weight_decay", "number", "weight decay: an L2 penalty, or with AdamW decoupled",
            0, 1),
        Row("optim.power", "number", "power of the polynomial decay", 0, 100, open="least"),
        Row("optim.end_lr", "number", "learning rate at the end", 0, LARGEST_RATE),
        Row("optim.backbone_lr_factor", "number", "learning rate of the backbone as a fraction of "
            "optim.lr", 0, 1000, open="least", own=True),
        Row("optim.layer_decay", "number", "learning rate of each stage of the backbone as a "
            "fraction of the next one's; 1: the same", 0, 1, open="least", own=True),
        Row("optim.warmup_iters", "whole number", "warm-up steps, in which the learning rate "
            "rises; at most iters", 0, **_STEPS),
        Row("auxiliary_weight", "number", "weight of the auxiliary head's loss", 0, 100,
            needed=True),
        Row("loss", "settings", "loss of both heads: loss=cross_entropy", needed=True),
        Row("loss.name", "name", "name of the loss", needed=True, own=True),
        Row("loss._target_", "callable", "class of the loss", needed=True,
            choices=(*_LOSSES, "gcseg.losses.WeightedSum")),
        *_loss_rows("loss"),
        Row("loss.parts", "settings", "losses of a sum, by name", count=(1, 20)),
        Row("loss.parts.*", "settings", "a loss of a sum; null: none", also=(None,)),
        Row("loss.parts.*._target_", "callable", "class of the loss", needed=True,
            choices=_LOSSES),
        Row("loss.parts.*.weight", "number", "factor of the loss in the sum", 0, MANY,
            needed=True, own=True),
        *_loss_rows("loss.parts.*", added=("gamma", "threshold", "min_kept", "alpha", "beta")),
        Row("class_weights", "number", "weight of each class in the loss, or the rule by which "
            "they are computed from the training split; null: all 1", 0, MANY, listed="must",
            count=(1, 255), also=(None, "auto", "median_frequency", "inverse_log"), needed=True),
        Row("count_ignored", "switch", "whether ignored pixels count in the mean of the loss",
            needed=True),
        Row("ema", "settings", "moving average of the weights", needed=True),
        Row("ema.decay", "number", "decay per optimizer step, such as 0.999; null: no average", 0,
            1, open="both", also=(None,), needed=True),
        Row("ema.warmup", "switch", "whether the decay rises from smaller values", needed=True),
        Row("skip_not_finite", "whole number", "number of steps with a loss of NaN or infinity "
            "that are skipped; training stops at the next one", 0, **_STEPS, needed=True),
    ),
    *_of(
        OUTPUT, "train data",
        Row("quick", "switch", "whether to run two steps on two images through all stages, in a "
            "folder for such tries", needed=True),
        Row("monitor", "text", "score by which best.ckpt is chosen: miou, mean_f1, pixel_accuracy, "
            "iou/CLASS, f1/CLASS, precision/CLASS, recall/CLASS or loss", needed=True),
        Row("patience", "whole number", "validations without a better monitored score after which "
            "training stops; null: it never does", 1, MANY, "validations", also=(None,),
            needed=True),
        Row("limit_val", "number", "images of the validation split that training validates: a "
            "number, or a fraction below 1; final scores use all", 0, MANY, open="least",
            also=(None,), needed=True),
        Row("val_every", "whole number", "steps between validations; each saves a checkpoint", 1,
            **_STEPS, needed=True),
        Row("log_every", "whole number", "steps between rows of metrics.csv", 1, **_STEPS,
            needed=True),
        Row("report", "switch", "whether report.html is written", needed=True),
        Row("fresh", "switch", "whether to start in a new run folder, even if this training was "
            "started before", needed=True),
    ),
    *_of(
        MACHINE, "train data",
        Row("strategy", "choice", "how several processes work together",
            choices=("auto", "ddp", "fsdp"), needed=True),
        Row("accumulate", "whole number", "forward passes per optimizer step", 1, MANY,
            needed=True),
        Row("prefetch", "whole number", "batches that each loader process prepares ahead", 1, 1000,
            "batches", needed=True),
        Row("checkpoint_activations", "switch", "whether the backbone's activations are recomputed "
            "in the backward pass: less memory, more time", needed=True),
    ),
    *_of(
        OUTPUT, "train data",
        Row("logger", "settings", "logger besides metrics.csv: logger=csv", needed=True),
        Row("logger._target_", "callable", "function that makes the logger; null: metrics.csv only",
            also=(None,), choices=("gcseg.engine.loggers.wandb_logger",
                                   "gcseg.engine.loggers.tensorboard_logger"), needed=True),
        Row("logger.project", "text", "W&B project"),
        Row("logger.entity", "text", "W&B user or team; null: your default one", also=(None,)),
        Row("logger.group", "text", "W&B group, for runs that belong together", also=(None,)),
        Row("logger.tags", "text", "W&B tags, each of at most 64 characters", listed="must",
            count=(0, 100)),
        Row("logger.checkpoints", "switch", "whether checkpoints are uploaded to W&B"),
        Row("logger.panel", "settings", "panel of validation images; null: none", also=(None,),
            own=True),
        Row("logger.panel.images", "whole number", "most images in the panel", 1, 1000, "images"),
        Row("logger.panel.longest", "whole number", "longer side of a logged image", 1, **_PIXELS),
        Row("logger.panel.megabytes", "number", "most megabytes of all logged images of a run", 0,
            MANY, open="least"),
    ),
    *_of(
        OPTIMISATION, "train data",
        Row("callbacks", "settings", "your own Lightning callbacks, by name", count=(0, 100),
            needed=True),
        Row("callbacks.*", "callback", "a callback: its class, and its arguments", added=True),
        Row("trainer", "settings", "more arguments of Lightning's Trainer", count=(0, 100),
            needed=True),
        Row("trainer.gradient_clip_val", "number", "largest gradient: larger ones are clipped", 0,
            also=(None,), added=True),
        Row("trainer.gradient_clip_algorithm", "choice", "whether gradients are clipped by norm or "
            "by value", choices=("norm", "value"), also=(None,), added=True),
        Row("trainer.benchmark", "switch", "whether cuDNN looks for its fastest algorithms",
            also=(None,), added=True),
        Row("trainer.detect_anomaly", "switch", "whether autograd looks for NaN, which is slow",
            added=True),
        Row("trainer.deterministic", "switch", "whether only deterministic algorithms are used; "
            "warn: others are used with a warning", also=(None, "warn"), added=True),
        Row("trainer.max_time", "anything", "time after which training stops, as DD:HH:MM:SS",
            added=True),
        Row("trainer.profiler", "choice", "Lightning's profiler",
            choices=("simple", "advanced", "pytorch"), also=(None,), added=True),
    ),
    *_of(
        EVALUATION, "train data",
        Row("published", "settings", "published network that a row of published= names"),
        Row("published.checkpoint", "path", "name of the published weights"),
    ),
    *_of(
        SWEEPS, "train",
        Row("seeds", "whole number", "number of seeds to train with; on the command line only", 1,
            1000, "seeds", also=(None,), needed=True),
        Row("retry_failed", "switch", "whether a repeated sweep command runs failed jobs again",
            needed=True),
        Row("job_timeout", "number", "minutes after which a job of a sweep is stopped; null: no "
            "limit", 0, MANY, open="least", also=(None,), needed=True),
        Row("prune", "settings", "rule that stops poor trainings of a sweep early: prune=median",
            also=(None,)),
        Row("prune._target_", "callable", "one of optuna's pruners",
            choices=("optuna.pruners.MedianPruner", "optuna.pruners.SuccessiveHalvingPruner")),
        Row("prune.n_startup_trials", "whole number", "trainings that finish before any is stopped",
            0, MANY, "trainings"),
        Row("prune.n_warmup_steps", "whole number", "steps before which no training is stopped", 0,
            **_STEPS),
        Row("prune.min_resource", "whole number", "steps before the first decision", 1, **_STEPS),
        Row("prune.reduction_factor", "whole number", "n: the best 1 in n trainings continues", 2,
            1000),
        Row("prune.*", "anything", "another argument of the pruner", added=True),
    ),
    *_of(
        EVALUATION, "train data eval predict report export benchmark submit publish verify demo",
        Row("tta", "settings", "test-time augmentation: tta=none", needed=True),
        Row("tta.average", "choice", "what is averaged over the views",
            choices=("logits", "probabilities"), needed=True),
        Row("tta.scales", "number", "scale factors of the mode msflip", **_SCALES),
        Row("tta.modes", "settings", "modes by name; each is scored", count=(1, 100), needed=True),
        Row("tta.modes.*", "settings", "a mode of test-time augmentation"),
        Row("tta.modes.*.scales", "number", "scale factors of the views", **_SCALES),
        Row("tta.modes.*.flip", "switch", "whether each view is also predicted flipped"),
        Row("inference", "settings", "whole images or sliding windows: inference=whole",
            needed=True),
        Row("inference.window", "settings", "sliding window; null: whole images", also=(None,),
            needed=True),
        Row("inference.window.height", "whole number", "height of the window", 32, **_PIXELS),
        Row("inference.window.width", "whole number", "width of the window", 32, **_PIXELS),
        Row("inference.window.stride_height", "whole number", "vertical step of the window; null: "
            "two thirds of its height", 1, **_PIXELS, also=(None,)),
        Row("inference.window.stride_width", "whole number", "horizontal step of the window; null: "
            "two thirds of its width", 1, **_PIXELS, also=(None,)),
    ),
    *_of(
        EVALUATION, "eval predict attention export benchmark submit demo",
        Row("checkpoint", "path", "checkpoint: a file, a run folder, a published folder, a name of "
            "gcseg.weights list, or hf://owner/name", also=(None,), needed=True),
        Row("weights", "choice", "which weights of a training with ema.decay: the moving average "
            "(ema) or the raw ones; null: the average if there is one", choices=("ema", "raw"),
            also=(None,), needed=True),
    ),
    *_of(
        EVALUATION, "eval predict attention export submit submit_check",
        Row("split", "text", "name of the dataset's split whose images are read, as dataset.splits "
            "has it; by default the one to validate on, for submit the test split", needed=True),
    ),
    *_of(
        EVALUATION, "eval predict attention report report_sweep export benchmark submit publish "
        "verify demo",
        Row("trust", "switch", "whether recorded settings may call code outside gcseg and name "
            "files outside dataset.root",
            needed=True),
    ),
    *_of(
        EVALUATION, "eval",
        Row("published", "name", "published network: a row of docs/published.md", also=(None,),
            needed=True),
        Row("record", "path", "file for the scores, with published=; null: "
            "experiments/results.json of the checkout", also=(None,), needed=True),
        Row("explain", "switch", "whether to analyse the scores: boundaries, calibration, single "
            "images, other conventions", needed=True),
    ),
    *_of(
        EVALUATION, "predict",
        Row("mask_values", "choice", "values in written masks: class indices, or the values of the "
            "dataset's label files", choices=("classes", "dataset"), needed=True),
        Row("source", "source", "pictures, folders, patterns, lists of files, videos, cameras or "
            "addresses to predict, instead of the split", listed="may", also=(None,), needed=True),
        Row("format", "choice", "what is written; null: mask and panel, and of videos mask, "
            "overlay and csv", choices=("mask", "panel", "overlay", "probabilities", "csv", "coco",
                                "labelme", "label_studio"), listed="may", count=(1, 8),
            also=(None,), needed=True),
    ),
    *_of(
        EVALUATION, "predict",
        Row("limit", "whole number", "most images to process, and most frames of each video; null: "
            "all", 1, 10**9, "images", also=(None,), needed=True),
    ),
    *_of(
        EVALUATION, "predict attention",
        Row("images", "source", "another name of source", listed="may", also=(None,), needed=True),
    ),
    *_of(
        EVALUATION, "attention",
        Row("source", "source", "pictures, folders, patterns or lists of files to look at, instead "
            "of the split", listed="may", also=(None,), needed=True),
        Row("limit", "whole number", "most images to process; null: all", 1, 10**9, "images",
            also=(None,), needed=True),
    ),
    *_of(
        OUTPUT, "predict attention data report report_sweep dashboard export "
        "benchmark submit publish",
        Row("output", "path", "file or folder to write to; null: the usual place", also=(None,),
            needed=True),
    ),
    *_of(
        EVALUATION, "submit submit_check",
        Row("competition", "choice", "voc: competition that the archive is for: comp5, trained on "
            "VOC 2012's trainval alone, or comp6, on any data; null: comp6, or with check= any",
            choices=("comp5", "comp6"), also=(None,), needed=True),
    ),
    *_of(
        EVALUATION, "submit_check",
        Row("check", "path", "archive to check; nothing is predicted", needed=True),
    ),
    *_of(
        EXPORTS, "export",
        Row("format", "choice", "format of the export", choices=("onnx", "openvino", "torch_export",
            "torchscript"), needed=True),
        Row("precision", "choice", "precision of the export's weights and computation",
            choices=("fp32", "fp16", "int8"), needed=True),
        Row("values", "choice", "values that the exported network gives",
            choices=("logits", "probabilities", "labels"), needed=True),
        Row("preprocessing", "switch", "whether the exported network normalises pictures itself",
            needed=True),
        Row("force", "switch", "whether to overwrite a file, and to keep an export whose proof "
            "fails, marked", needed=True),
        Row("proof", "settings", "pictures of the proof", needed=True),
        Row("proof.images", "path", "an image or a folder of images to prove an fp32 export on, "
            "instead of the split", also=(None,), needed=True),
        Row("proof.limit", "whole number", "most pictures of the proof; null: all", 1, 10**9,
            "images", also=(None,), needed=True),
        Row("calibration", "settings", "pictures that int8 is calibrated on", needed=True),
        Row("calibration.split", "text", "split of the pictures that int8 is calibrated on",
            needed=True),
        Row("calibration.images", "whole number", "number of pictures that int8 is calibrated on",
            1, 10000, "images", needed=True),
    ),
    *_of(
        EXPORTS, "benchmark",
        Row("exports", "path", "exports to measure; null: those in the run folder", listed="must",
            count=(1, 100), also=(None,), needed=True),
        Row("threads", "whole number", "numbers of threads, each measured", 1, 1024, "threads",
            listed="must", needed=True),
        Row("batches", "whole number", "numbers of images in a pass, each measured", 1, 1024,
            "images", listed="must", needed=True),
        Row("height", "whole number", "height of the images", 32, **_PIXELS, needed=True),
        Row("width", "whole number", "width of the images", 32, **_PIXELS, needed=True),
        Row("repeats", "whole number", "number of measured passes", 1, 10000, needed=True),
    ),
    *_of(
        EXPORTS, "benchmark_blocks",
        Row("parts", "choice", "context blocks and heads to measure; null: all", listed="must",
            choices=("gc", "nl", "nl_dot_product", "snl", "se", "dnl", "head_fcn", "head_gc",
                     "head_psp", "head_deeplabv3plus", "head_danet", "head_ccnet",
                     "head_upernet", "head_ocr"),
            also=(None,), needed=True),
        Row("channels", "whole number", "channels of the blocks' input, and of the heads' "
            "convolutions", 16, 16384, "channels", needed=True),
        Row("sizes", "whole number", "sides of square pictures, each measured", 32, **_PIXELS,
            listed="must", needed=True),
        Row("threads", "whole number", "number of threads", 1, 1024, "threads", needed=True),
        Row("repeats", "whole number", "number of measured passes at each size", 1, 10000,
            needed=True),
        Row("output", "path", "folder of the table and the chart", needed=True),
    ),
    *_of(
        EVALUATION, "demo",
        Row("compare", "path", "second checkpoint, shown next to the first: a file, a run folder "
            "or a name of gcseg.weights list", also=(None,), needed=True),
        Row("host", "text", "address that the page listens on; 127.0.0.1: this machine alone, "
            "0.0.0.0: all addresses of this machine", needed=True),
        Row("port", "whole number", "port of the page, or the next free one; 0: any free one", 0,
            65535, needed=True),
        Row("megapixels", "number", "largest picture that the page takes, in millions of pixels",
            0, 1000, "megapixels", open="least", needed=True),
        Row("frames", "whole number", "most frames of a video that the page predicts", 1, 10**6,
            "frames", needed=True),
    ),
    *_of(
        PUBLISHING, "publish",
        Row("license", "text", "licence of the weights, for the model card", also=(None,),
            needed=True),
        Row("export", "choice", "formats of the exports to include; null: all in the run folder",
            choices=("onnx", "openvino"), listed="may", count=(0, 2), also=(None,), needed=True),
    ),
    *_of(
        PUBLISHING, "verify",
        Row("folder", "path", "published folder, or hf://owner/name[@revision]", also=(None,),
            needed=True),
        Row("split", "text", "split to verify; null: all that were published", also=(None,),
            needed=True),
        Row("precision", "choice", "floating-point precision; null: that of the published "
            "evaluation", choices=(32, "32", "bf16-mixed", "16-mixed"), also=(None,), needed=True),
    ),
    *_of(
        REPORTS, "report publish",
        Row("run", "path", "run folder", also=(None,), needed=True),
    ),
    *_of(
        REPORTS, "report",
        Row("examples", "whole number", "example images of each kind: best, median and worst", 0,
            100, "images", needed=True),
    ),
    *_of(
        SWEEPS, "train data",
        Row("comparison", "settings", "what the table of a sweep compares, and what is claimed",
            also=(None,), needed=True),
        Row("comparison.baseline", "text", "values of the setting of a sweep that the others are "
            "compared with, as 'backbone=r18 head=fcn'; null: the first setting", also=(None,)),
        Row("comparison.source", "text", "source of the claims"),
        Row("comparison.claims", "settings", "claims on settings of a sweep, by name"),
        Row("comparison.claims.*", "settings", "a claim: setting is (better, ...) than"),
        Row("comparison.claims.*.setting", "text", "values of the settings that a claim is about; "
            "of several, the mean counts", needed=True),
        Row("comparison.claims.*.is", "choice", "what is claimed of the mIoU of a claim's setting",
            choices=("better", "no worse", "alike"), needed=True),
        Row("comparison.claims.*.than", "text", "values of the settings that a claim's setting is "
            "compared with", needed=True),
        Row("comparison.claims.*.within", "number", "difference up to which mIoU is no worse or "
            "alike; needed for these", 0, 100, "points", open="least"),
        Row("comparison.published_in", "text", "task and source of published values"),
        Row("comparison.published", "settings", "published values of settings, by name"),
        Row("comparison.published.*", "settings", "published values of a setting"),
        Row("comparison.published.*.setting", "text", "values of the setting in the sweep",
            needed=True),
        Row("comparison.published.*.values", "settings", "published values, by metric",
            needed=True),
        Row("comparison.published.*.values.*", "number", "published value of a metric"),
    ),
    *_of(
        SWEEPS, "train report_sweep",
        Row("timing", "choice", "whether the networks' time per image is measured for the table of "
            "a sweep: missing ones, all again, or none", choices=("missing", "again", "none"),
            needed=True),
    ),
    *_of(
        REPORTS, "report_sweep",
        Row("accelerator", "choice", "device on which the networks of a sweep are measured; null: "
            "that of the trainings", choices=("auto", "cpu", "gpu", "mps"), also=(None,),
            needed=True),
        Row("sweep", "path", "folder of a sweep, in runs/sweeps", needed=True),
        Row("run_root", "path", "folder with the sweep's run folders; null: two folders above the "
            "sweep's", also=(None,), needed=True),
    ),
    *_of(
        DATA_TOOLS, "data",
        Row("split", "text", "name of the dataset's split whose images are read, as dataset.splits "
            "has it, for check also a list of names; null: the training split, for check all "
            "splits that training uses", listed="may", count=(1, 100), also=(None,), needed=True),
        Row("source", "path", "prepare: archives or folders to read besides dataset.root; convert: "
            "the annotations or predictions", listed="may", count=(1, 100), also=(None,),
            needed=True),
        Row("format", "choice", "convert: format of source",
            choices=("labelme", "coco", "cvat", "supervisely", "yolo", "label_studio", "voc",
                     "rgb"), also=(None,), needed=True),
        Row("to", "choice", "convert: format to write masks in",
            choices=("coco", "coco_polygons", "labelme", "label_studio"), also=(None,),
            needed=True),
        Row("classes", "text", "convert: classes in the order of their values, or a file of them; "
            "null: the labels in source", listed="may", count=(1, 254), also=(None,), needed=True),
        Row("unlabelled", "choice", "convert: meaning of pixels without a label; null: there must "
            "be none", choices=("ignore", "background"), also=(None,), needed=True),
        Row("images", "path", "convert: folder of the pictures; null: they are in source or in the "
            "dataset", also=(None,), needed=True),
        Row("pictures", "choice", "convert: whether pictures are copied, linked or left out",
            choices=("copy", "link", "none"), needed=True),
        Row("tolerance", "number", "convert: largest distance between polygons and the masks' "
            "outlines", 0, 100, "pixels", needed=True),
        Row("image_url", "text", "convert: beginning of the pictures' addresses in Label Studio",
            needed=True),
        Row("overwrite", "switch", "convert: whether an earlier conversion in output is replaced",
            needed=True),
        Row("download", "switch", "prepare: whether files are downloaded where that is allowed",
            needed=True),
        Row("count", "whole number", "browse: number of samples", 1, 10_000, "samples",
            needed=True),
        Row("first", "whole number", "browse: number of the first sample, counted from 0", 0,
            10**12, needed=True),
        Row("fail_on", "choice", "check: what makes the exit status 1",
            choices=("error", "warning"), needed=True),
        Row("benchmark", "settings", "settings of benchmark", needed=True),
        Row("benchmark.images", "whole number", "benchmark: images to read, over and over", 1,
            MANY, "images", needed=True),
        Row("benchmark.samples", "whole number", "benchmark: samples of each setting in a round",
            1, 10_000, "samples", needed=True),
        Row("benchmark.rounds", "whole number", "benchmark: rounds; their median is reported", 1,
            10_000, "rounds", needed=True),
        Row("benchmark.workers", "whole number", "benchmark: numbers of loader processes to try",
            0, 256, "loader processes", listed="must", count=(1, 100), needed=True),
        Row("benchmark.batches", "whole number", "benchmark: batches of each loader", 1, 100_000,
            "batches", needed=True),
    ),
    *_of(
        MACHINE, "train data eval predict attention report export submit publish verify demo",
        Row("accelerator", "choice", "kind of device to compute on",
            choices=("auto", "cpu", "gpu", "cuda", "mps"), needed=True),
    ),
    *_of(
        MACHINE, "train data eval predict attention report export benchmark submit demo",
        Row("channels_last", "switch", "whether convolutions use the channels-last memory format",
            needed=True),
    ),
    *_of(
        MACHINE, "train data eval publish verify",
        Row("devices", "whole number", "devices of each machine", 1, 1024, "devices",
            also=("auto",), needed=True),
        Row("num_nodes", "whole number", "number of machines", 1, 10_000, "machines", needed=True),
        Row("num_workers", "whole number", "loader processes per device; auto: as many as the "
            "cores allow, at most 8", 0, 256, "loader processes", also=("auto",), needed=True),
    ),
    *_of(
        MACHINE, "train data eval",
        Row("compile", "switch", "whether the network is compiled by torch.compile", needed=True),
    ),
    *_of(
        MACHINE, "train data eval predict submit demo",
        Row("precision", "choice", "floating-point precision; 16-mixed on a GPU only",
            choices=(32, "32", "bf16-mixed", "16-mixed"), needed=True),
    ),
    *_of(
        OUTPUT, "train data eval predict attention export benchmark submit",
        Row("run_root", "path", "folder in which run folders are made", needed=True),
    ),
    *_of(
        DASHBOARD, "dashboard",
        Row("project", "text", "W&B project, as in logger.project", needed=True),
        Row("entity", "text", "W&B user or team", also=(None,), needed=True),
        Row("name", "text", "name of the workspace's view and of the report", needed=True),
        Row("modes", "text", "modes of test-time augmentation to show", listed="must",
            count=(1, 100), needed=True),
        Row("compare", "text", "settings to compare runs by", listed="must", count=(1, 100),
            needed=True),
    ),
)  # fmt: skip
"""All settings. The documentation groups them by topic, in the order of each topic's first row."""
