"""python -m gcseg.train: train, then score the best checkpoint.

Imported, the module can be called as the function `gcseg.train`, whose name it has.
"""

import sys
from types import ModuleType
from typing import Any

from gcseg.commands.train import main


class _Callable(ModuleType):
    """Module that can be called in the place of `gcseg.train`, which importing it replaces."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Train; see `gcseg.python.run.train`."""
        from gcseg.python.run import train

        return train(*arguments, **options)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = _Callable
