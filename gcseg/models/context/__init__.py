"""Context blocks: each lets every position of a feature map see the others, and keeps its shape.

Each is constructed with the channels C of its input. `attention`, of those that have one, maps
`N x C x H x W` features to `N x 1 x H x W` weights that sum to 1 over each map: how much each
position contributes to the context.
"""

from gcseg.models.context.global_context import GlobalContextBlock
from gcseg.models.context.non_local import DisentangledNonLocalBlock, NonLocalBlock
from gcseg.models.context.simplified import SimplifiedNonLocalBlock
from gcseg.models.context.squeeze import SqueezeExcitationBlock

__all__ = [
    "DisentangledNonLocalBlock",
    "GlobalContextBlock",
    "NonLocalBlock",
    "SimplifiedNonLocalBlock",
    "SqueezeExcitationBlock",
]
