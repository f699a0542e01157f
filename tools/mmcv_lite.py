"""Makes mmsegmentation importable with mmcv-lite, which lacks the compiled layers.

To be imported before mmseg, for that effect alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from unittest import mock


def _replace_compiled_layers() -> None:
    """Put stand-ins in the place of the compiled layers, unless mmcv has them.

    Those of other networks only have to be importable. Criss-cross attention is plain PyTorch in
    mmcv 2, and is loaded from its file.
    """
    if importlib.util.find_spec("mmcv._ext") is not None:
        return
    for module in ("mmcv.ops", "mmcv.ops.point_sample"):
        sys.modules[module] = mock.MagicMock()
    mmcv = importlib.util.find_spec("mmcv")
    assert mmcv is not None and mmcv.origin is not None
    file = Path(mmcv.origin).parent / "ops" / "cc_attention.py"
    spec = importlib.util.spec_from_file_location("cc_attention", file)
    assert spec is not None and spec.loader is not None
    attention = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(attention)
    sys.modules["mmcv.ops"].CrissCrossAttention = attention.CrissCrossAttention  # type: ignore[attr-defined]


_replace_compiled_layers()
