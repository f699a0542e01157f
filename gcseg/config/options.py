"""Check the options of a command line, which Hydra would answer with its whole usage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from gcseg.config.command_line import (
    MAY_TAKE_ONE,
    OPTIONS,
    TAKES_A_VALUE,
    asks_for_information,
    is_override,
)
from gcseg.config.meant import unknown_option
from gcseg.errors import ConfigError


def check_options(arguments: Sequence[str], config_name: str, more: Iterable[str] = ()) -> None:
    """Check that each option of a command line exists and has its value.

    Args:
        arguments: The command line, without the command.
        config_name: The command's primary configuration.
        more: Options in addition to Hydra's.

    Raises:
        ConfigError: An option does not exist, or lacks its value.
    """
    known = {*OPTIONS, *more}
    for argument, following in pairwise([*arguments, ""]):
        if not argument.startswith("-") or argument == "-":
            continue
        option = _in_full(argument.partition("=")[0], known)
        if option is None:
            raise unknown_option(argument, _value(argument, following), config_name, known)
        _check_value(option, argument, following)
    if "--resolve" in arguments and not asks_for_information(arguments):
        raise ConfigError("--resolve without --cfg", "write --cfg job --resolve")


def _in_full(option: str, known: set[str]) -> str | None:
    """Return the option that is given, or that alone begins with it; None if there is none."""
    if option in known:
        return option
    # Two dashes and more: one dash and a letter is a whole option, not the beginning of one.
    begun = [one for one in known if one.startswith(f"{option:-<3}")]
    return begun[0] if len(begun) == 1 else None


def _value(argument: str, following: str) -> str:
    """Return what an unknown option is given, in its argument or in the following one."""
    value = argument.partition("=")[2]
    if value or is_override(following) or following.startswith("-"):
        return value
    return following


def _check_value(option: str, argument: str, following: str) -> None:
    """Check that an option has the value that it needs, and no other.

    Args:
        option: The option, in full.
        argument: The argument with it, as given.
        following: The next argument.

    Raises:
        ConfigError: It lacks its value, or has one that it does not take.
    """
    given, equals, value = argument.partition("=")
    if option not in TAKES_A_VALUE:
        if equals and option not in MAY_TAKE_ONE:
            raise ConfigError(f"{argument}, which takes no value", f"write {option}")
        return
    value = value if equals else following
    choices = TAKES_A_VALUE[option]
    if not value or (choices and value not in choices):
        wanted = " or ".join(f"{option} {choice}" for choice in choices) or f"{option} VALUE"
        raise ConfigError(f"{given} {value}".strip(), f"use {wanted}")
