"""What every format model shares: unknown fields are refused, instances are immutable."""

from pydantic import BaseModel, ConfigDict


class Format(BaseModel):
    """A strict, immutable record of a file format.

    A field with a default may be left out in Python; files are written with every field
    (`model_dump_json()`), and the JSON Schema wants them all.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )
