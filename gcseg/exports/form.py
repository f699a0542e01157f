"""The form of an exported network: the images that it takes and the values that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Output = Literal["logits", "probabilities", "labels"]
OUTPUTS = get_args(Output)

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS = get_args(Precision)


@dataclass(frozen=True)
class Form:
    """Form of an exported network's input and output.

    Args:
        output: Kind of the output: `"logits"` or `"probabilities"`, N x classes x H x W float32, or
            `"labels"`, N x H x W uint8.
        preprocessing: Whether the network normalises the images, which then have raw values.
        mean: Mean per channel of values in 0..1.
        std: Standard deviation per channel of values in 0..1.
        full: Raw value that counts as 1; 255 for pictures of 8 bits.
        num_classes: Number of classes.
    """

    output: Output
    preprocessing: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    full: float
    num_classes: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Form:
        """Build the form that a record of `gcseg.exports.record` describes."""
        values = {name: record[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def plain(self) -> dict[str, Any]:
        """Return the form as plain values, for a record."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def offset(self) -> Tensor:
        """Return the raw mean of each channel, C x 1 x 1."""
        return torch.tensor(self.mean)[:, None, None] * self.full

    def spread(self) -> Tensor:
        """Return the raw standard deviation of each channel, C x 1 x 1."""
        return torch.tensor(self.std)[:, None, None] * self.full


class FormedNetwork(nn.Module):
    """A network in the form in which it is exported.

    Args:
        network: Network that maps N x C x H x W normalised images to logits of their size.
        form: Form of the input and output.
        half: Whether the network computes in float16; input and output stay float32.
    """

    def __init__(self, network: nn.Module, form: Form, *, half: bool = False) -> None:
        super().__init__()
        self.network = network.half() if half else network
        self.form = form
        self.half_precision = half
        self.offset: Tensor
        self.factor: Tensor
        self.register_buffer("offset", form.offset(), persistent=False)
        self.register_buffer("factor", 1 / form.spread(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images N x C x H x W float32 to the output of the form."""
        if self.form.preprocessing:
            images = (images - self.offset) * self.factor
        logits: Tensor = self.network(images.half() if self.half_precision else images)
        if self.half_precision:
            logits = logits.float()
        if self.form.output == "probabilities":
            return logits.softmax(1)
        return logits.argmax(1).to(torch.uint8) if self.form.output == "labels" else logits


def as_logits(output: Tensor, form: Form) -> Tensor:
    """Return logits with the same classes as an export's output.

    Logarithms of probabilities differ from logits by the same number for all classes of a pixel,
    which changes neither the softmax nor means over views. Labels become 0 and 1.

    Args:
        output: Output in the form.
        form: Form of the export.

    Returns:
        N x classes x H x W float32.
    """
    if form.output == "probabilities":
        return output.float().clamp(min=torch.finfo(torch.float32).tiny).log()
    if form.output == "labels":
        return nn.functional.one_hot(output.long(), form.num_classes).movedim(-1, 1).float()
    return output.float()


def as_input(images: Tensor, form: Form) -> Tensor:
    """Return normalised images N x C x H x W as an export of the form takes them."""
    return images * form.spread() + form.offset() if form.preprocessing else images
