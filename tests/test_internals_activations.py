import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from mechcot.errors import StudyError
from mechcot.internals.activations import Activations, finish_store, tensor_name, write_shard

LAYERS, RULES, WIDTH = [0, 1, 2], ["end", "decision"], 6


def make_store(folder, dtype=torch.float32, sizes=(4, 0, 3)):
    """A store of shards with the given rows whose index goes through them backwards."""
    generator = torch.Generator().manual_seed(0)
    values = {
        tensor_name(layer, rule): [torch.randn(n, WIDTH, generator=generator).to(dtype) for n in sizes]
        for layer in LAYERS
        for rule in RULES
    }
    shards = [write_shard(folder, i, {name: v[i] for name, v in values.items()}) for i in range(len(sizes))]
    places = [(shard, row) for shard, n in enumerate(sizes) for row in range(n)][::-1]
    index = pd.DataFrame(
        [(f"q{i}", "base", 0, i, shard, row) for i, (shard, row) in enumerate(places)],
        columns=["qid", "arm", "cid", "sid", "shard", "row"],
    )
    about = {
        "reader": "base",
        "model_digest": "abc",
        "sites": ["resid_post"],
        "layers": LAYERS,
        "rules": RULES,
        "dtype": str(dtype).removeprefix("torch."),
        "d_model": WIDTH,
        "packing": {},
    }
    finish_store(folder, index, shards, about)
    expected = {name: torch.stack([v[s][r] for s, r in places]).float().numpy() for name, v in values.items()}
    return index, expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_store_gives_back_what_was_written_in_the_order_of_its_index(tmp_path, dtype):
    index, expected = make_store(tmp_path, dtype)
    store = Activations.open(tmp_path)
    pd.testing.assert_frame_equal(store.frame(), index, check_dtype=False)
    for layer in LAYERS:
        for rule in RULES:
            values = store.layer(layer, rule)
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, expected[tensor_name(layer, rule)])
    assert (len(store), store.layers, store.rules) == (7, LAYERS, RULES)
    assert "7 steps, reader 'base'" in repr(store)
    store.verify()


def test_bfloat16_stays_bfloat16_on_disk(tmp_path):
    make_store(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / "shard-00000.safetensors", "pt") as shard:
        assert {shard.get_tensor(name).dtype for name in shard.keys()} == {torch.bfloat16}  # noqa: SIM118
        assert shard.metadata() is None


def test_equal_stores_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        make_store(tmp_path / name)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_a_caller_cannot_change_the_index(tmp_path):
    make_store(tmp_path)
    store = Activations.open(tmp_path)
    mine = store.frame()
    mine["row"] = 0
    assert store.frame().row.sum() > 0


def test_a_missing_cut_or_flipped_file_is_refused_by_name(tmp_path):
    make_store(tmp_path / "whole")

    def damaged(name):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "copy")
        return tmp_path / "copy" / name

    shard, index, meta = "shard-00002.safetensors", "index.parquet", "meta.json"
    for name, message in (
        (shard, f"{shard}: is missing"),
        (index, f"{index}: is missing"),
        (meta, "does not exist"),
    ):
        damaged(name).unlink()
        with pytest.raises(StudyError, match=message):
            Activations.open(tmp_path / "copy")
    file = damaged(shard)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StudyError, match=rf"{shard}: has \d+ bytes, \d+ were written"):
        Activations.open(tmp_path / "copy")
    for name in (shard, index):
        file = damaged(name)
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
        if name == shard:
            with pytest.raises(StudyError, match=f"{shard}: is damaged"):
                Activations.open(tmp_path / "copy").verify()
        else:
            with pytest.raises(StudyError, match=name):
                Activations.open(tmp_path / "copy").verify()


def test_foreign_and_hostile_meta_data_are_refused(tmp_path):
    make_store(tmp_path)
    path = tmp_path / "meta.json"
    good = json.loads(path.read_text())

    def rewrite(**changes):
        path.write_text(json.dumps({**good, **changes}))

    rewrite(format="mechcot-activations/2")
    with pytest.raises(StudyError, match=r"expected the format 'mechcot-activations/1', found '.*/2'"):
        Activations.open(tmp_path)
    path.write_text("{")
    with pytest.raises(StudyError, match="is not JSON"):
        Activations.open(tmp_path)
    path.write_text("[]")
    with pytest.raises(StudyError, match="expected the format"):
        Activations.open(tmp_path)
    rewrite(n_rows=8)
    with pytest.raises(StudyError, match=r"has 7 rows, meta.json says 8"):
        Activations.open(tmp_path)
    rewrite(d_model=5)
    with pytest.raises(StudyError, match=r"is F32 \[4, 6\], meta.json says float32 \[4, 5\]"):
        Activations.open(tmp_path).layer(1)
    rewrite(dtype="float16")
    with pytest.raises(StudyError, match=r"meta\.json says float16"):
        Activations.open(tmp_path).layer(1)
    rewrite(layers=[0, 1, 2, 3])
    with pytest.raises(StudyError, match=r"no readable tensor resid_post.3@end"):
        Activations.open(tmp_path).layer(3)


@pytest.mark.parametrize("start", [0, 2**62, 40])
def test_a_hostile_header_is_refused(tmp_path, start):
    make_store(tmp_path)
    file = tmp_path / "shard-00000.safetensors"
    content = file.read_bytes()
    file.write_bytes(start.to_bytes(8, "little") + content[8:])
    with pytest.raises(StudyError, match="no readable tensor"):
        Activations.open(tmp_path).layer(1)


def test_what_was_not_kept_is_named(tmp_path):
    make_store(tmp_path)
    store = Activations.open(tmp_path)
    for wanted in ((7, "end", "resid_post"), (1, "start", "resid_post"), (1, "end", "mlp_out")):
        with pytest.raises(
            StudyError, match=r"has no .* it has the sites \['resid_post'\], layers \[0, 1, 2\]"
        ):
            store.layer(*wanted)


def test_a_store_opens_without_torch(tmp_path):
    make_store(tmp_path, torch.bfloat16)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from mechcot.internals.activations import Activations\n"
        f"store = Activations.open({str(tmp_path)!r}); print(store.layer(1, 'decision').shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(7, 6)"
