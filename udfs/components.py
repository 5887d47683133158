"""edges -> connected components: what applyInPandas runs on all edges as one group.

Grain: one row per node that has an edge. Key: node. All edges stand in one worker's memory: 106 bytes per edge measured
at the peak with 5 million edges, so 10^8 edges between near duplicates want 11 GB.
"""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SCHEMA = "node long, component long"


def components(edges: pd.DataFrame) -> pd.DataFrame:
    """[a long, b long] -> [node, component]; a component is named by its smallest node."""
    nodes, ends = np.unique(edges[["a", "b"]].to_numpy(), return_inverse=True)
    a, b = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    _, smallest = np.unique(labels, return_index=True)  # nodes are sorted: the first of a label is its smallest
    return pd.DataFrame({"node": nodes, "component": nodes[smallest[labels]]})
