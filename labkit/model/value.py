"""The base of the model's records."""

import msgspec


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen record; unknown fields in its JSON are an error."""
