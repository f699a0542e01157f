"""Expansion of seeds=3: the same training under several seeds, as a multirun."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gcseg.config.checks import check_one
from gcseg.config.command_line import asks_for_information, is_override
from gcseg.config.compose import compose, source_folder
from gcseg.config.table import LARGEST_SEED
from gcseg.errors import ConfigError


def expand_seeds(arguments: Sequence[str]) -> None:
    """Turn `seeds=3` into a multirun in `sys.argv`; see `with_expanded_seeds`.

    Hydra decides from the command line alone whether it is a multirun, so this runs before Hydra.
    """
    sys.argv[1:] = with_expanded_seeds(arguments)


def with_expanded_seeds(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which a multirun over `seed=0,1,2` stands for `seeds=3`.

    The seeds count from `seed`.

    Args:
        arguments: The command line, without the command.

    Raises:
        ConfigError: The number of seeds is wrong, or something else already chooses seeds.
        HydraException: The command line can't be read, or names something that does not exist.
    """
    if not any(argument.lstrip("+").startswith("seeds=") for argument in arguments):
        return list(arguments)
    given = OverridesParser.create().parse_overrides(list(filter(is_override, arguments)))
    seeds = [one for one in given if one.key_or_group == "seeds"]
    count = seeds[-1].value()
    if count is None or asks_for_information(arguments):
        return _without(arguments, seeds)
    if seeds[-1].is_sweep_override():
        raise ConfigError(str(seeds[-1].input_line), "give one number")
    check_one("seeds", count)
    assert isinstance(count, int)
    first = _first_seed(arguments, [one for one in given if one not in seeds], count)
    rest = _without(arguments, [one for one in given if one.key_or_group in ("seed", "seeds")])
    # The first override is the outermost loop: every setting once, then again.
    place = next((i for i, one in enumerate(rest) if is_override(one)), len(rest))
    rest.insert(place, "seed=" + ",".join(str(first + index) for index in range(count)))
    if not {"-m", "--multirun"} & set(rest):
        rest.append("--multirun")
    return rest


def _without(arguments: Sequence[str], left_out: Sequence[Override]) -> list[str]:
    """Remove some overrides from a command line."""
    lines = {one.input_line for one in left_out}
    return [argument for argument in arguments if argument not in lines]


def _first_seed(arguments: Sequence[str], given: Sequence[Override], count: int) -> int:
    """Read the first seed from the command line or a file of experiments/."""
    for one in given:
        if one.key_or_group == "seed" and one.is_sweep_override():
            raise ConfigError(f"seeds={count} with {one.input_line}", "give one of the two")
    single = [str(one.input_line) for one in given if not one.is_sweep_override()]
    if folder := _config_dir(arguments):
        single.append(
            f"hydra.searchpath=['file://{source_folder('experiments')}','file://{folder}']"
        )
    cfg = compose("train", single, with_hydra=True)
    sweeper = cfg.hydra.sweeper
    if "seed" in (OmegaConf.select(sweeper, "params") or {}):
        raise ConfigError(
            f"seeds={count} where a file sweeps seed={sweeper.params.seed}", "give one of the two"
        )
    if sweeper._target_.rpartition(".")[2] != "BasicSweeper":
        raise ConfigError(
            f"seeds={count} with {sweeper._target_}, which would search for a seed",
            "search first, then train the best settings with seeds=",
        )
    first = cfg.seed
    check_one("seed", first)
    if first + count - 1 > LARGEST_SEED:
        raise ConfigError(f"seeds={count} from seed={first}", f"the largest seed is {LARGEST_SEED}")
    return int(first)


def _config_dir(arguments: Sequence[str]) -> str | None:
    """Folder of user-defined settings, if given."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    folder = parser.parse_known_args(list(arguments))[0].config_dir
    return None if folder is None else str(Path(folder).absolute())
