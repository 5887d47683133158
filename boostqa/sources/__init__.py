"""Source files -> records and items."""

from boostqa.sources.read import check_ids, read_held_out, read_items, read_records
from boostqa.sources.record import RECORD
from boostqa.sources.token_ids import read_token_ids

__all__ = ["RECORD", "check_ids", "read_held_out", "read_items", "read_records", "read_token_ids"]
