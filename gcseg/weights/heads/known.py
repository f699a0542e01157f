"""What a head of gcseg's networks is in files of weights, gcseg's and other frameworks'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcseg.errors import WeightsError
from gcseg.weights.names import Orders, Rows, Shapes

Node = dict[str, Any]
Said = Mapping[str, Any]
Test = tuple[Callable[[Any], bool], str]
"""A test of a value that a file records, and what is allowed, in words."""


def _any(_: Mapping[str, Any]) -> bool:
    return True


def _nothing(_: int) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Mmseg:
    """A head of mmsegmentation.

    Args:
        network: Name of its networks.
        rows: Rows of its modules and ours, both without the head's prefix.
        settings: Maps the head's node, and the channels of the four stages, to the settings of the
            decode head that it does not share with all others.
        takes: Whether a head of ours, by its node, can be such a head.
        cascade: Whether the auxiliary head is the first of two decode heads.
        implies: See `KeyMap`.
    """

    network: str
    rows: Rows
    settings: Callable[[Mapping[str, Any], Sequence[int]], Node]
    takes: Callable[[Mapping[str, Any]], bool] = _any
    cascade: bool = False
    implies: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PaddleSeg:
    """A network of PaddleSeg, whose head is under the name `head`.

    Args:
        network: Name of the class.
        rows: Rows of the head's modules and ours, both without the prefix.
        arguments: Maps the head's node to the arguments that not all networks share.
        takes: Whether a head of ours, by its node, can be this network's.
        auxiliary_at: Their prefix of the auxiliary head.
        auxiliary_rows: Rows of the auxiliary head; empty if there is none.
        auxiliary_divisor: Quotient of the third stage's channels and the auxiliary head's.
        without_bias: Our modules whose convolutions before batch norm have no bias; all others of
            the heads have one.
        unused: Modules that have parameters and no effect.
        idle: Maps the head's node and the number of classes to the shapes of the parameters of
            `unused`, which are written as zeros; None if there are none.
        sizes: Maps the channels of the last stage to settings of the head that follow from them.
        implies: See `KeyMap`.
        orders: See `KeyMap`.
    """

    network: str
    rows: Rows
    arguments: Callable[[Mapping[str, Any]], Node]
    takes: Callable[[Mapping[str, Any]], bool] = _any
    auxiliary_at: str = "head."
    auxiliary_rows: Rows = ()
    auxiliary_divisor: int = 4
    without_bias: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    idle: Callable[[Mapping[str, Any], int], Mapping[str, tuple[int, ...]]] | None = None
    sizes: Callable[[int], Mapping[str, Any]] = _nothing
    implies: Mapping[str, Any] = field(default_factory=dict)
    orders: Callable[[Shapes], Orders] | None = None


@dataclass(frozen=True)
class KnownHead:
    """A head that shows in the names and shapes of its parameters.

    Args:
        titles: Names of its networks for people, by the name in conf/head.
        mark: Convolution that only this head has.
        telling: Further convolutions whose sizes determine what is built.
        settings: Maps the shapes by gcseg's names, and what the file records of the head, to the
            head's name and the settings that the weights show.
        own_rows: Modules that neither framework has, as rows of twice the same name, without the
            head's prefix.
        unseen: Settings that the weights do not show, with a test of a recorded value.
        mmseg: The heads of mmsegmentation that are such a head, by a short name.
        paddleseg: The networks of PaddleSeg with such a head.
    """

    titles: Mapping[str, str]
    mark: str
    telling: tuple[str, ...]
    settings: Callable[[Shapes, Said], Node]
    own_rows: Rows = ()
    unseen: Mapping[str, Test] = field(default_factory=dict)
    mmseg: Mapping[str, Mmseg] = field(default_factory=dict)
    paddleseg: Sequence[PaddleSeg] = ()


def whole_numbers(least: int, most: int) -> Test:
    """Return the test of a list of one to 16 whole numbers."""

    def can_be(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and 1 <= len(value) <= 16
            and all(type(number) is int and least <= number <= most for number in value)
        )

    return can_be, f"a list of whole numbers from {least} to {most}"


SWITCH: Test = (lambda value: type(value) is bool, "true or false")


def with_bias(shapes: Shapes, module: str) -> bool:
    """Return whether a convolution has a bias."""
    return f"{module}.bias" in shapes


def channels_of(shapes: Shapes, module: str) -> int:
    """Return the output channels of a convolution, 0 if it is missing."""
    shape = shapes.get(f"{module}.weight", ())
    return shape[0] if shape else 0


def refuse_unless(framework: str, setting: str, value: object, only: object) -> None:
    """Require the only value of a setting that a framework's network can have.

    Raises:
        WeightsError: If the value is another.
    """
    if value != only:
        raise WeightsError(
            f"{framework}'s network has {setting}={only}, this one {setting}={value}",
            "convert to another format",
        )


def refuse_unless_all(
    framework: str, at: str, node: Mapping[str, Any], only: Mapping[str, Any]
) -> None:
    """Require the only values of several settings, also in nodes of the node.

    Args:
        framework: Name of the framework.
        at: Name of the node, for messages.
        node: The settings.
        only: The values, by their names.

    Raises:
        WeightsError: If a value is another.
    """
    for key, value in only.items():
        if isinstance(value, Mapping):
            refuse_unless_all(framework, f"{at}.{key}", node[key], value)
        else:
            refuse_unless(framework, f"{at}.{key}", node[key], value)


def conv_rows(theirs: str, ours: str, conv: str = "conv", norm: str = "bn") -> Rows:
    """Return the rows of a convolution and its batch norm.

    Args:
        theirs: Their module of both.
        ours: Our module of both.
        conv: Their name of the convolution; PaddleSeg's is `_conv`.
        norm: Their name of the batch norm; PaddleSeg's is `_batch_norm`.
    """
    return [(f"{theirs}.{conv}", f"{ours}.0"), (f"{theirs}.{norm}", f"{ours}.1")]


def paddle_conv_rows(theirs: str, ours: str) -> Rows:
    """Return the rows of PaddleSeg's ConvBNReLU."""
    return conv_rows(theirs, ours, "_conv", "_batch_norm")


def paddle_auxiliary_rows(theirs: str) -> Rows:
    """Return the rows of PaddleSeg's AuxLayer, which are those of our auxiliary head."""
    return [*paddle_conv_rows(f"{theirs}.conv_bn_relu", "conv"), (f"{theirs}.conv", "classifier")]
