"""units of each item (words or characters) -> MinHash band keys: the function that mapInArrow runs.

Grain: one row per item that has a unit; others have no keys. Items that share a band key are taken for near
duplicates: with b bands of r rows, two items whose shingle sets have Jaccard similarity s share one with probability
1 - (1 - s^r)^b (Leskovec et al., Mining of Massive Datasets, section 3.4), which turns at about (1/b)^(1/r) = 0.72 for
14 x 8.

Hash families, both strongly universal for 32-bit keys and random 64-bit coefficients, modulo 2^64:
- a shingle of units u_j: multilinear, (c + sum c_j u_j) >> 32 (Lemire and Kaser, "Strongly universal string hashing is
  fast", The Computer Journal 57, 2014);
- a permutation of shingles x: multiply-shift, (a x + b) >> 32 (Dietzfelbinger, "Universal hashing and k-wise
  independent random variables via integer arithmetic without primes", STACS 1996).
The coefficients are the raw stream of PCG64, which NumPy keeps stable between versions.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
SCHEMA = "node long, known boolean, keys array<long>"
_SHIFT = np.uint64(32)


def _coefficients(seed: int, *shape: int) -> Words:
    return np.asarray(np.random.PCG64(seed).random_raw(int(np.prod(shape))), dtype=np.uint64).reshape(shape)


def _runs(starts: Positions, lengths: Positions) -> Positions:
    """The indices start, start + 1, ... of every run, one run after the other."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)


def _shingles(units: pa.Array, window: int) -> tuple[Words, Positions]:
    """32-bit hashes of every window of units, and how many each item has; a shorter item is one window, zero-filled."""
    words = units.flatten().dictionary_encode()  # a unit is hashed once per batch, not once per occurrence
    spelled = words.dictionary.cast(pa.binary()).to_pylist()
    hashes = np.array([xxhash.xxh32_intdigest(w) for w in spelled], dtype=np.uint64)
    lengths = units.value_lengths().to_numpy().astype(np.int64)
    padded = np.maximum(lengths, window)
    starts = np.cumsum(padded) - padded
    laid = np.zeros(padded.sum(), dtype=np.uint64)
    laid[_runs(starts, lengths)] = hashes[words.indices.to_numpy()]
    constant, *factors = _coefficients(1, window + 1)
    sums = np.full(len(laid) - window + 1, constant)
    for j, factor in enumerate(factors):
        sums += laid[j : j + len(sums)] * factor
    counts = padded - window + 1
    return sums[_runs(starts, counts)] >> _SHIFT, counts


def _minima(shingles: Words, counts: Positions, permutations: int) -> Words:
    """The MinHash signature of each item, shape (items, permutations), 32-bit values."""
    factors, terms = _coefficients(2, 2, permutations)
    starts = np.cumsum(counts) - counts
    minima = np.empty((permutations, len(counts)), dtype=np.uint64)
    hashed = np.empty_like(shingles)
    for p in range(permutations):
        np.multiply(shingles, factors[p], out=hashed)
        np.add(hashed, terms[p], out=hashed)
        np.minimum.reduceat(hashed, starts, out=minima[p])
    return minima.T >> _SHIFT  # a shift keeps the order: one shift of the minimum stands for one of every hash


def band_keys(units: pa.Array, window: int, bands: int, rows: int) -> Positions:
    """list<string> of each item's units -> `bands` 64-bit keys per item over shingles of `window` units.

    Items without a unit share one key; a null list is an error.
    """
    minima = _minima(*_shingles(units, window), bands * rows).reshape(-1, bands, rows)
    return (minima * _coefficients(3, bands, rows)).sum(axis=2).view(np.int64)


def map_band_keys(batches: Iterator[pa.RecordBatch], bands: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of [node long, known boolean, units list<string>, window int] -> batches of SCHEMA, in the order of the
    windows; an item without a unit is left out."""
    for every in batches:
        batch = every.filter(pc.greater(pc.list_value_length(every.column("units")), 0))
        windows = batch.column("window").to_numpy()
        for window in np.unique(windows):
            part = batch.filter(pa.array(windows == window))
            keys = band_keys(part.column("units"), int(window), bands, rows)
            offsets = pa.array(np.arange(0, keys.size + 1, bands, dtype=np.int32))
            lists = pa.ListArray.from_arrays(offsets, pa.array(keys.ravel()))
            columns = [part.column("node"), part.column("known"), lists]
            yield pa.RecordBatch.from_arrays(columns, names=["node", "known", "keys"])
