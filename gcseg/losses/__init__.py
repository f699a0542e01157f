"""Training losses: what `loss=` chooses.

Each maps logits N x C x H x W and labels N x H x W to a scalar, in float32 whatever the type of the
logits; those with `upsamples` take coarser logits, too, and upsample them without holding them all.
Pixels of the label `IGNORE_INDEX` have no gradient. Where nothing is labelled, a loss is 0
with no gradient, not NaN.

Several processes that train together call a loss at the same time. The mean of what they return,
and so of their gradients, is the loss of their images together, however unevenly ignored pixels
are spread over them; `Lovasz` alone is the mean of the processes' own losses.
"""

from gcseg.losses.lovasz import Lovasz
from gcseg.losses.overlap import Dice, Tversky
from gcseg.losses.pixels import CrossEntropy, Focal, Ohem, cross_entropy, summed_weight
from gcseg.losses.upsampling import loss_of, takes_coarse
from gcseg.losses.weighted_sum import WeightedSum

__all__ = [
    "CrossEntropy",
    "Dice",
    "Focal",
    "Lovasz",
    "Ohem",
    "Tversky",
    "WeightedSum",
    "cross_entropy",
    "loss_of",
    "summed_weight",
    "takes_coarse",
]
