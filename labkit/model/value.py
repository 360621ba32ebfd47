"""The base of the model's records."""

from __future__ import annotations

from pathlib import Path
from typing import Self, dataclass_transform

import msgspec

from labkit.errors import SnapshotError


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen record; unknown fields in its JSON are an error."""


class Saved(Value):
    """A record that can be kept as a JSON file."""

    def to_json(self) -> str:
        """The record as JSON text; ``from_json`` gives an equal one back."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record of that JSON text; SnapshotError if it is not one."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise SnapshotError(f"this is not a {cls.__name__.lower()}'s JSON: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write it to a JSON file, readable by a person."""
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The record saved in that JSON file."""
        return cls.from_json(Path(path).read_bytes())
