"""The rows of `published=` as files of Hydra's search path, without a file for each."""

from __future__ import annotations

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from gcseg.config.published_rows import GROUP, row, rows


class PublishedRows(ConfigSource):
    """The folder `published://` of the search path, which holds the group published."""

    @staticmethod
    def scheme() -> str:
        """Return what paths of this kind begin with."""
        return GROUP

    def available(self) -> bool:
        """Return whether the folder exists."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a row as if it were read from a file.

        Raises:
            ConfigLoadError: There is no such row.
        """
        if not self.is_config(config_path):
            raise ConfigLoadError(f"Config not found : {config_path}")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create(row(_name(config_path))),
            header={"package": "_global_"},
        )

    def is_group(self, config_path: str) -> bool:
        """Return whether a path is the group's, or the folder's."""
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Return whether a path is a row's."""
        return config_path.startswith(f"{GROUP}/") and _name(config_path) in rows()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names in a folder: the group, or its rows."""
        inside = config_path.strip("/") == GROUP
        kind = ObjectType.CONFIG if inside else ObjectType.GROUP
        if not self.is_group(config_path) or results_filter not in (None, kind):
            return []
        return sorted(rows()) if inside else [GROUP]


def _name(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/").removesuffix(".yaml")
