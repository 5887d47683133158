"""Units of answers by pint, with the Chinese names of units; words that are no unit ("apples") stand for themselves."""

import re
from fractions import Fraction
from functools import cache
from tokenize import TokenError

import pint
from pint.util import to_units_container

from udfs.answers.numbers import Unclear
from udfs.answers.spelling import unwrapped_text

# fmt: off
_CHINESE = {
    "千米": "km", "公里": "km", "米": "m", "分米": "dm", "厘米": "cm", "毫米": "mm", "微米": "um", "纳米": "nm", "千克": "kg",
    "公斤": "kg", "克": "g", "毫克": "mg", "吨": "t", "斤": "jin", "升": "L", "毫升": "mL", "秒": "s", "秒钟": "s", "分钟": "min",
    "小时": "h", "时": "h", "天": "day", "日": "day", "周": "week", "年": "year", "牛": "N", "牛顿": "N", "焦": "J", "焦耳": "J",
    "千焦": "kJ", "瓦": "W", "千瓦": "kW", "千瓦时": "kWh", "伏": "V", "伏特": "V", "安": "A", "安培": "A", "毫安": "mA",
    "欧": "ohm", "欧姆": "ohm", "帕": "Pa", "帕斯卡": "Pa", "千帕": "kPa", "兆帕": "MPa", "赫兹": "Hz", "赫": "Hz", "库仑": "C",
    "特斯拉": "T", "韦伯": "Wb", "摩尔": "mol", "摩": "mol", "摄氏度": "degC", "公顷": "hectare", "亩": "mu_of_land",
    "电子伏": "eV", "电子伏特": "eV",
}
# fmt: on
_CHINESE_POWERS = {"平方": "**2", "立方": "**3"}
# pint lets errors of its tokenizer and of operators through.
_PINT_ERRORS = (
    *(pint.PintError, SyntaxError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError),
    TokenError,
)
_WORDS = re.compile(r"[A-Za-z]{3,}(?: [A-Za-z]+)*|[\u4e00-\u9fff]+|%|°")
_SPELLED = re.compile(r"[A-Za-zμΩÅ°*/^().\s\d-]+")


@cache
def _registry() -> pint.UnitRegistry:
    registry: pint.UnitRegistry = pint.UnitRegistry(non_int_type=Fraction)
    registry.define("jin = 500 * gram")
    registry.define("mu_of_land = 2000 / 3 * meter ** 2")
    return registry


def _chinese(text: str) -> str:
    """Chinese names of units as pint spells them; null text where one is not known."""
    parts = []
    for part in re.split(r"\s*(?:/|每)\s*", text):
        power = next((p for p in _CHINESE_POWERS if part.startswith(p)), "")
        name = _CHINESE.get(part.removeprefix(power))
        if name is None:
            return ""
        parts.append(name + _CHINESE_POWERS.get(power, ""))
    return "/".join(parts)


def _spelled(text: str) -> str:
    """A unit in LaTeX as pint reads it: m s^{-1} is m*s**-1."""
    text = re.sub(r"\\mu(?![A-Za-z])\s*", "μ", re.sub(r"\\(?:Omega|ohm)(?![A-Za-z])", "Ω", text))
    text = re.sub(r"° ?([CFK])(?![A-Za-z])", lambda m: {"C": "degC", "F": "degF", "K": "K"}[m[1]], text)
    text = re.sub(
        r"\s*\\(?:cdot|times)(?![A-Za-z])\s*|\s*\*\s*", "*", text.replace("°", "degree").replace("%", "percent")
    )
    text = re.sub(r"\^\s*\{\s*([-+]?\d+)\s*\}", r"^\1", text)
    text = re.sub(r"(?<=[A-Za-zμΩ])(?=[-]\d)", "^", text)  # m s-1
    text = re.sub(r"\s*([/^*])\s*", r"\1", text)
    return re.sub(r"(?<=[\w)]) (?!per )(?=[\w(])(?<!per )", "*", text.strip())


class Unit:
    """The unit of a quantity: `name` the same for every spelling; only units of one dimension without an offset
    convert."""

    def __init__(self, text: str) -> None:
        spelled = " ".join(unwrapped_text(text).split())
        spelled = re.sub(r"^[({]\s*(.*?)\s*[)}]$", r"\1", spelled)
        unit = _parsed(_chinese(spelled) or _spelled(spelled))
        if unit is None and not _WORDS.fullmatch(spelled):
            raise Unclear(f"{spelled} is no unit")
        powers = {} if unit is None else dict(to_units_container(unit))
        self.name = " ".join(f"{n}^{p}" for n, p in sorted(powers.items())) or spelled.removesuffix("s")
        scales = [_registry()._units[n] for n in powers if n in _registry()._units]
        converts = unit is not None and not unit.dimensionless and all(scale.is_multiplicative for scale in scales)
        self.unit = unit if converts else None

    def factor(self, other: "Unit") -> Fraction | None:
        """What a number in `other` is multiplied with to be one in this unit; null where they do not convert."""
        if self.name == other.name:
            return Fraction(1)
        if self.unit is None or other.unit is None or self.unit.dimensionality != other.unit.dimensionality:
            return None
        try:
            return Fraction(_registry().Quantity(Fraction(1), other.unit).to(self.unit).magnitude)
        except _PINT_ERRORS:
            return None


@cache
def _parsed(spelled: str) -> pint.Unit | None:
    if not _SPELLED.fullmatch(spelled) or re.search(r"\d{2}", spelled):
        return None
    try:
        return _registry().parse_units(spelled.replace("^", "**"))
    except _PINT_ERRORS:
        return None
