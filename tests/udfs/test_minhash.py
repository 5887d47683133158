import numpy as np
import pandas as pd
import pyarrow as pa

from udfs.components import components
from udfs.minhash import band_keys, map_band_keys


def shared_bands(first: list[str], second: list[str], window: int = 1) -> float:
    """Share of equal keys with one row per band: an estimate of the Jaccard similarity."""
    one, other = band_keys(pa.array([first, second]), window, bands=1000, rows=1)
    return float(np.mean(one == other))


def test_band_keys_of_half_equal_sets_estimate_their_jaccard_similarity():
    a, b = [f"w{i}" for i in range(300)], [f"w{i}" for i in range(100, 400)]  # 200 of 400 shared
    assert abs(shared_bands(a, b) - 0.5) < 0.06  # four standard deviations of 1000 draws


def test_band_keys_of_reordered_words_differ_as_shingles_and_agree_as_single_words():
    words = [f"w{i}" for i in range(20)]
    assert shared_bands(words, words[::-1], window=1) == 1
    assert shared_bands(words, words[::-1], window=5) == 0


def test_band_keys_of_texts_shorter_than_a_shingle_tell_them_apart():
    keys = band_keys(pa.array([["a", "b"], ["a", "c"], ["a", "b"], []]), 5, bands=2, rows=3)
    assert (keys[0] == keys[2]).all()
    assert not (keys[0] == keys[1]).any() and not (keys[0] == keys[3]).any()


def test_map_band_keys_of_mixed_windows_equals_each_item_alone():
    units = [["a", "b", "c"], list("甲乙丙丁"), ["a", "b", "d"]]
    batch = pa.RecordBatch.from_pydict({"node": [1, 2, 3], "units": units, "window": [2, 3, 2]})
    mapped = [row for out in map_band_keys(iter([batch]), 4, 2) for row in out.to_pylist()]
    alone = {
        n: band_keys(pa.array([u]), w, 4, 2)[0].tolist() for n, u, w in zip((1, 2, 3), units, (2, 3, 2), strict=True)
    }
    assert {row["node"]: row["keys"] for row in mapped} == alone


def test_components_of_two_chains_are_named_by_their_smallest_node():
    edges = pd.DataFrame({"a": [5, 9, -7], "b": [3, 5, 8]})
    found = components(edges)
    assert dict(zip(found["node"], found["component"], strict=True)) == {3: 3, 5: 3, 9: 3, -7: -7, 8: -7}
