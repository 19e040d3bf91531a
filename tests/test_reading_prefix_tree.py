import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.reading.prefix_tree import build_trie, shared_prefix

texts = st.lists(st.lists(st.integers(0, 2), max_size=8), min_size=1, max_size=8)


def arrays(rows):
    return [np.array(row, np.int64) for row in rows]


def prefixes(rows):
    return {tuple(row[: n + 1]) for row in rows for n in range(len(row))}


@settings(max_examples=200, deadline=None)
@given(texts)
def test_the_nodes_of_a_sequence_are_the_ancestors_of_its_last(rows):
    tree, paths = build_trie(arrays(rows))
    assert len(tree) == len(prefixes(rows)), "a prefix that sequences share has one node"
    for row, path in zip(rows, paths, strict=True):
        assert tree.token_ids[path].tolist() == row
        assert tree.depth[path].tolist() == list(range(len(row)))
        for n, node in enumerate(path):
            before = np.arange(node + 1)
            assert before[tree.end[: node + 1] > node].tolist() == path[: n + 1].tolist()


def test_shared_prefix_counts_leading_tokens():
    a, b, c, empty = arrays([[1, 2, 3], [1, 2, 4], [1, 2], []])
    assert [shared_prefix(a, b), shared_prefix(a, c), shared_prefix(a, a), shared_prefix(a, empty)] == [
        2,
        2,
        3,
        0,
    ]


def test_sequences_sort_by_token_not_by_byte():
    # 256 and 1 differ in the order of their low bytes; a wrong order would split the common beginning.
    tree, _ = build_trie(arrays([[256, 1], [1, 256], [256, 2], [65536, 1], [256, 1, 5]]))
    assert len(tree) == 8
