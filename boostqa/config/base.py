"""What all sections of the conf share: unknown keys are errors, values cannot change."""

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from boostqa.config.location import location

# Strict: true is no number and 1 no flag, though Python takes them for each other.
Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Positive = Annotated[int, Field(gt=0, strict=True)]
NotNegative = Annotated[int, Field(ge=0, strict=True)]
PositiveSeconds = Annotated[float, Field(gt=0, strict=True)]

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _expanded(path: str) -> str:
    """With the home folder in place of ~ and the value of an environment variable in place of ${NAME}."""
    if unset := [name for name in _VARIABLE.findall(path) if name not in os.environ]:
        raise ValueError(f"{path!r}: the environment has no variable {unset[0]}")
    if re.search(r"\$\{|(?:^|/)\$[A-Za-z_]", _VARIABLE.sub("", path)):
        raise ValueError(f"{path!r}: variables of the environment are written ${{NAME}}, with braces")
    full = os.path.expanduser(_VARIABLE.sub(lambda name: os.environ[name[1]], path))
    if full.startswith("~"):
        raise ValueError(f"{path!r}: no home folder of that user is known; for a folder of that name write ./{path}")
    return full


# A path, URI or hub's id, as the conf says it: ~ and ${NAME} stand for what they do in a shell.
PlaceText = Annotated[str, AfterValidator(_expanded)]


def _place(depth: int) -> AfterValidator:
    """A folder, a URI, or in a catalog a place of so many names (boostqa/config/location.py)."""

    def check(text: str) -> str:
        location(text, (depth,))
        return text

    return AfterValidator(check)


WarehousePlace = Annotated[PlaceText, _place(2)]
TablePlace = Annotated[PlaceText, _place(3)]


_SECRET = {"secret", "password", "passwd", "token", "credential", "credentials", "key", "sas", "signature"}


def is_secret(name: str) -> bool:
    """Whether a key of a conf names a secret, such as fs.s3a.secret.key or hf_token; key_env names a variable, token_ids a field."""
    words = set(re.split(r"[._\-]+", name.lower()))
    return bool(words & _SECRET) and not words & {"env", "ids"}


def redacted(values: Any) -> Any:
    """Values of a conf, nested, with *** in the place of secrets: what may be shown and stored."""
    if isinstance(values, dict):
        return {k: "***" if is_secret(str(k)) and v is not None else redacted(v) for k, v in values.items()}
    if isinstance(values, list):
        return [redacted(v) for v in values]
    return re.sub(r"://[^/@\s]+@", "://***@", values) if isinstance(values, str) else values


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
