"""What every format model shares: unknown fields are refused, instances are immutable."""

from pydantic import BaseModel, ConfigDict


class Format(BaseModel):
    """A strict, immutable record of a file format."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
