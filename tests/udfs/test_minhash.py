import numpy as np
import pandas as pd
import pyarrow as pa

from udfs.keepers import keepers
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
    columns = {"node": [1, 2, 3, 4], "known": [True, False, False, False], "window": [2, 3, 2, 2]}
    batch = pa.RecordBatch.from_pydict(columns | {"units": [*units, []]})  # without a unit there are no keys
    mapped = [row for out in map_band_keys(iter([batch]), 4, 2) for row in out.to_pylist()]
    alone = {
        n: band_keys(pa.array([u]), w, 4, 2)[0].tolist() for n, u, w in zip((1, 2, 3), units, (2, 3, 2), strict=True)
    }
    assert {row["node"]: row["keys"] for row in mapped} == alone


def test_keepers_of_a_chain_and_of_seeds():
    def keys(*rows):
        return pd.DataFrame(rows, columns=["node", "key", "known"])

    chain = keys((1, 7, False), (2, 7, False), (2, 8, False), (3, 8, False), (3, 9, False), (4, 9, False))
    assert keepers(chain.sample(frac=1, random_state=3)).to_dict("list") == {"node": [2, 4], "keeper": [1, 3]}
    seeds = keys((5, 7, True), (6, 7, True), (1, 7, False), (1, 8, False), (2, 8, False), (-9, 9, False), (5, 9, True))
    assert dict(keepers(seeds).itertuples(index=False)) == {-9: 5, 1: 5}
