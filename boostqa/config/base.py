"""What all sections of the conf share: unknown keys are errors, values cannot change."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
