"""Source files -> records and items."""

from boostqa.sources.read import read_held_out, read_items, read_records
from boostqa.sources.record import RECORD

__all__ = ["RECORD", "read_held_out", "read_items", "read_records"]
