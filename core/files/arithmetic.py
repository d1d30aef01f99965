"""Exact arithmetic and unit conversion. Runs in the worker process: a tower of powers must not stop the bot."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import Any

import pint

from core.domain.errors import Unreadable
from core.files.numerals import Ambiguous, plain

_ALLOWED = re.compile(r"^[\w\s.+\-*/^()°µμΩ%,'’\"²³]+$")
_CONVERSION = re.compile(r"^(?P<what>.+?)\s+(?:to|in|into|as)\s+(?P<unit>[^\d()]+[^()]*)$", re.IGNORECASE)
_PERCENT = re.compile(r"(\d(?:[\d.]*))\s*%(?!\s*[\d(])")
_TEMPERATURE = re.compile(
    r"\s*(-?[\d.]+)\s*(?:°|deg(?:rees?)?\s*)?(C|F|celsius|fahrenheit|degC|degF)\s*", re.IGNORECASE
)
_REMAINDER = re.compile(r"%\s*[\d(]")
_SCALES = {"c": "degC", "celsius": "degC", "f": "degF", "fahrenheit": "degF", "k": "kelvin"}
_MAX_CHARS = 300
_MAX_DIGITS = 400


def calculate(expression: str) -> str:
    """Evaluate *expression* ("17*(3+4)", "15% * 80", "100 degF to degC", "3 miles + 200 m in km").

    Results are exact fractions, written as decimals where those end. Raises Unreadable with what is wrong.
    """
    text = expression.strip()
    if not text or len(text) > _MAX_CHARS or not _ALLOWED.match(text):
        raise Unreadable(expression[:40], "it is no arithmetic: use numbers, + - * / ** ( ) and units")
    try:
        text = plain(text).replace("²", "**2").replace("³", "**3")
    except Ambiguous as error:
        raise Unreadable(expression[:40], str(error)) from error
    if _REMAINDER.search(text):
        raise Unreadable(expression, "% means percent here; write 15% * 80, and a - b * (a // b) for a remainder")
    conversion = _CONVERSION.match(text)
    try:
        if conversion is None:
            return _written(_quantity(text))
        quantity, unit = _quantity(conversion["what"]), conversion["unit"].strip()
        if quantity.units in (_units().degC, _units().degF):
            unit = _SCALES.get(unit.lower().lstrip("°"), unit)
        return _written(quantity.to(unit))
    except Unreadable:
        raise
    except ZeroDivisionError as error:
        raise Unreadable(expression, "it divides by zero") from error
    except pint.UndefinedUnitError as error:
        raise Unreadable(expression, f"unknown unit or function: {error.unit_names}") from error
    except pint.DimensionalityError as error:
        raise Unreadable(expression, f"{error.units1} and {error.units2} cannot be converted") from error
    except Exception as error:  # pint's reader raises assertions, token and attribute errors alike
        raise Unreadable(expression, "I cannot read it as arithmetic") from error


@cache
def _units() -> pint.UnitRegistry[Any]:
    return pint.UnitRegistry(non_int_type=Fraction, autoconvert_offset_to_baseunit=True)


def _quantity(text: str) -> pint.Quantity[Any]:
    units = _units()
    text = _PERCENT.sub(r"(\1/100)", text)
    offset = _TEMPERATURE.fullmatch(text)
    if offset is not None:  # "100 degF" is a point on a scale, not a product
        scale = "degC" if offset[2].lower().removeprefix("deg").startswith("c") else "degF"
        return units.Quantity(Fraction(offset[1]), scale)
    made = units.parse_expression(text)
    return made if isinstance(made, units.Quantity) else units.Quantity(Fraction(made), "dimensionless")


def _written(quantity: pint.Quantity[Any]) -> str:
    number = _number(quantity.magnitude)
    unit = "" if quantity.dimensionless and str(quantity.units) == "dimensionless" else f" {quantity.units}"
    return number + unit


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value!r} (rounded)"
    exact = Fraction(str(value)) if not isinstance(value, Fraction | int) else Fraction(value)
    if exact.denominator == 1:
        digits = str(exact.numerator)
        return digits if len(digits) <= _MAX_DIGITS else f"{digits[:50]}... ({len(digits)} digits)"
    rest = exact.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    with localcontext(prec=50):
        decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
        if rest == 1 and len(str(decimal)) < 45:
            return f"{decimal:f}"
    with localcontext(prec=15):
        return f"{Decimal(exact.numerator) / Decimal(exact.denominator)} (rounded; exactly {exact})"[:_MAX_DIGITS]
