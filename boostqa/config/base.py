"""What all sections of the conf share: unknown keys are errors, values cannot change."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


_SECRET = {"secret", "password", "passwd", "token", "credential", "credentials", "key", "sas", "signature"}


def is_secret(name: str) -> bool:
    """Whether a key of a conf names a secret, such as fs.s3a.secret.key or hf_token; key_env names a variable."""
    words = set(re.split(r"[._\-]+", name.lower()))
    return bool(words & _SECRET) and "env" not in words


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
