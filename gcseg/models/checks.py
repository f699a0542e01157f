"""Checks of constructor arguments, so that a wrong setting is named before any tensor exists."""

from __future__ import annotations

from collections.abc import Iterable

from gcseg.errors import ConfigError


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Require `value` to be one of `choices`.

    Raises:
        ConfigError: If it is not.
    """
    choices = tuple(choices)
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise ConfigError(f"{name} is {value!r}", f"choose one of {listed}")


def check_positive(name: str, value: int) -> None:
    """Require `value` to be at least 1.

    Raises:
        ConfigError: If it is smaller.
    """
    if value < 1:
        raise ConfigError(f"{name} is {value!r}", "give an integer of at least 1")


def check_fraction(name: str, value: float) -> None:
    """Require 0 <= `value` < 1.

    Raises:
        ConfigError: If it is outside this range.
    """
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}", "give a fraction from 0 up to, not including, 1")


def check_above_zero(name: str, value: float) -> None:
    """Check that a value is a number above 0, neither tiny nor huge.

    Raises:
        ConfigError: If it is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1e-6 <= value <= 1e6:
        raise ConfigError(f"{name}={value!r}", "give a number above 0, from 1e-6 to 1e6")
