"""What is wrong with a compressed text file, told while it is decompressed piece by piece."""

from pathlib import PurePosixPath

import pandas as pd
import pyarrow as pa

from udfs.files import file_system

_CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_PIECE = 1 << 16  # a fault is told to lie in the line in which the last whole piece ended
LONGEST_LINE = 64 << 20  # bytes: a line is one record, and stands in memory several times
# A file that is larger than the first unpacked, by more than the second times: JSON Lines shrink to a tenth, at best to a
# fiftieth, what was made to fill memories to a thousandth.
LARGE, MOST_TIMES = 256 << 20, 200


def codec(file: str) -> str | None:
    """The codec of a file by its suffix; None where it is not compressed, or in a way that only Spark knows."""
    return _CODECS.get(PurePosixPath(file).suffix)


def fault(file: str, longest_line: int = LONGEST_LINE, large: int = LARGE) -> str | None:
    """ "LINE: what is wrong" of a compressed file, None where nothing is, or where pyarrow cannot open it (then Spark will
    say why)."""
    try:
        system, path = file_system(file)
        size, packed = system.get_file_info(path).size, system.open_input_stream(path, compression=None)
    except (OSError, ValueError):
        return None
    lines, pending, total = 1, 0, 0
    with pa.CompressedInputStream(packed, codec(file)) as stream:
        while True:
            try:
                piece = stream.read(_PIECE)
            except OSError as error:
                return f"{lines}: {error}"
            if not piece:
                return None
            total += len(piece)
            lines += piece.count(b"\n")
            last = piece.rfind(b"\n")
            pending = pending + len(piece) if last < 0 else len(piece) - last - 1
            if pending > longest_line:
                return f"{lines}: a line of more than {longest_line:,} bytes"
            if total > large and total > MOST_TIMES * size:
                return f"{lines}: {size:,} bytes unpack to more than {total:,}: no text is as repetitive"


def faults(files: pd.Series) -> pd.Series:
    """`fault` of each file."""
    return files.map(fault)
