"""items and the band keys they share -> which items to drop, each for a kept one it shares a key with: what
applyInPandas runs on all keys as one group.

Grain: one row per dropped item. Key: node. All keys stand in one worker's memory: 17 bytes a key and 58 more at the peak
measured with 5 million keys (7 s), so 10^8 shared keys want 8 GB.
"""

import numpy as np
import pandas as pd

SCHEMA = "node long, keeper long"


def keepers(keys: pd.DataFrame) -> pd.DataFrame:
    """[node long, key long, known boolean] -> SCHEMA, in the order: known ones first, then the smaller node.

    An item is kept unless it shares a key with one that is kept before it: that is its keeper, the first in order where
    there are several. So what is dropped resembles what is kept, however long a chain of resemblances is. A known one is
    always kept.
    """
    keys = keys.sort_values(["known", "node"], ascending=[False, True], kind="stable")
    nodes, codes = keys["node"].to_numpy(), np.unique(keys["key"], return_inverse=True)[1]
    first = np.flatnonzero(np.r_[True, nodes[1:] != nodes[:-1]])
    known_ones = int(keys["known"].to_numpy()[first].sum())
    owner = np.full(codes.max(initial=-1) + 1, -1)  # of each key: the item kept for it, by place in the order
    keeper = np.full(len(first), -1)
    for place, own in enumerate(np.split(codes, first[1:])):
        taken = owner[own]
        known = taken[taken >= 0]
        if len(known) and place >= known_ones:
            keeper[place] = known.min()
        else:
            owner[own[taken < 0]] = place
    dropped = np.flatnonzero(keeper >= 0)
    return pd.DataFrame({"node": nodes[first][dropped], "keeper": nodes[first][keeper[dropped]]})
