import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcot.internals.prefix_tree import build_trie, graft, may_attend, pad_trees, shared_prefix

texts = st.lists(st.lists(st.integers(0, 2), max_size=8), min_size=1, max_size=8)


def arrays(rows):
    return [np.array(row, np.int64) for row in rows]


def prefixes(rows):
    return {tuple(row[: n + 1]) for row in rows for n in range(len(row))}


@settings(max_examples=200, deadline=None)
@given(texts)
def test_every_sequence_is_what_its_last_token_attends_to(rows):
    tree, paths = build_trie(arrays(rows))
    assert len(tree) == len(prefixes(rows)), "a prefix that sequences share has one node"
    if not len(tree):
        return
    mask = may_attend(pad_trees([tree]))[0, 0]
    for row, path in zip(rows, paths, strict=True):
        assert tree.token_ids[path].tolist() == row
        for n, node in enumerate(path):
            seen = np.flatnonzero(mask[node])
            assert tree.token_ids[seen].tolist() == row[: n + 1]
            assert tree.depth[seen].tolist() == list(range(n + 1))
            assert tree.path(int(node)).tolist() == seen.tolist()


@settings(max_examples=200, deadline=None)
@given(texts, texts, st.data())
def test_a_grafted_branch_continues_the_text_above_it(rows, below, data):
    tree, paths = build_trie(arrays(rows))
    branch, branch_paths = build_trie(arrays(below))
    nodes = list(range(len(tree)))
    at = np.array(sorted(data.draw(st.sets(st.sampled_from(nodes)) if nodes else st.just(set()))), np.int64)
    grown, moved, starts = graft(tree, at, branch)
    assert len(grown) == len(tree) + len(at) * len(branch)
    if not len(grown):
        return
    mask = may_attend(pad_trees([grown]))[0, 0]

    def text(node):
        return grown.token_ids[np.flatnonzero(mask[node])].tolist()

    for row, path in zip(rows, paths, strict=True):
        for n, node in enumerate(path):
            assert text(moved[node]) == row[: n + 1]
    for where, start in zip(at, starts, strict=True):
        above = text(moved[where])
        for row, path in zip(below, branch_paths, strict=True):
            for n, node in enumerate(path):
                assert text(start + node) == above + row[: n + 1]
                assert grown.depth[start + node] == len(above) + n


@settings(max_examples=100, deadline=None)
@given(texts, st.integers(1, 5))
def test_a_window_keeps_the_nearest_ancestors(rows, window):
    tree, paths = build_trie(arrays(rows))
    if not len(tree):
        return
    mask = may_attend(pad_trees([tree]), window)[0, 0]
    for path in paths:
        for n, node in enumerate(path):
            assert np.flatnonzero(mask[node]).tolist() == path[max(0, n + 1 - window) : n + 1].tolist()


def test_padding_attends_to_itself_alone_and_is_not_seen():
    long, _ = build_trie(arrays([[1, 2, 3, 4], [1, 5]]))
    short, _ = build_trie(arrays([[7, 8]]))
    padded = pad_trees([long, short])
    for window in (None, 2):
        mask = may_attend(padded, window)
        assert mask.shape == (2, 1, 5, 5)
        assert mask.any(-1).all(), "no row is empty"
        assert mask[1, 0, 2:].tolist() == np.eye(5, dtype=bool)[2:].tolist()
        assert not mask[1, 0, :2, 2:].any()


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
