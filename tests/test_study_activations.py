import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from mechcot.core.errors import StudyError
from mechcot.core.files import digest
from mechcot.study.activations import Activations, finish_store, tensor_name, write_shard

LAYERS, RULES, WIDTH = [0, 1, 2], ["end", "decision"], 6


def make_store(folder, dtype=torch.float32, sizes=(4, 0, 3), model="abc", **about):
    """A store of shards with the given rows whose index goes through them backwards."""
    generator = torch.Generator().manual_seed(len(model))
    values = {
        tensor_name(layer, rule): [torch.randn(n, WIDTH, generator=generator).to(dtype) for n in sizes]
        for layer in LAYERS
        for rule in RULES
    }
    shards = [
        write_shard(folder, i, {name: v[i] for name, v in values.items()}, model) for i in range(len(sizes))
    ]
    places = [(shard, row) for shard, n in enumerate(sizes) for row in range(n)][::-1]
    index = pd.DataFrame(
        [(f"q{i}", "base", 0, i, shard, row) for i, (shard, row) in enumerate(places)],
        columns=["qid", "arm", "cid", "sid", "shard", "row"],
    )
    told = {
        "reader": "base",
        "model_digest": model,
        "sites": ["resid_post"],
        "layers": LAYERS,
        "rules": RULES,
        "dtype": str(dtype).removeprefix("torch."),
        "d_model": WIDTH,
        "packing": {},
        **about,
    }
    finish_store(folder, index, shards, told)
    expected = {name: torch.stack([v[s][r] for s, r in places]).float().numpy() for name, v in values.items()}
    return index, expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_store_gives_back_what_was_written_in_the_order_of_its_index(tmp_path, dtype):
    index, expected = make_store(tmp_path, dtype)
    store = Activations.open(tmp_path)
    pd.testing.assert_frame_equal(store.frame(), index, check_dtype=False)
    for layer in LAYERS:
        for rule in RULES:
            values = store.layer("resid_post", layer, rule)
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, expected[tensor_name(layer, rule)])
    assert (len(store), store.sites, store.layers, store.rules) == (7, ["resid_post"], LAYERS, RULES)
    assert store.places == [("resid_post", layer) for layer in LAYERS]
    assert "7 steps, reader 'base'" in repr(store)
    store.verify()


def test_bfloat16_stays_bfloat16_on_disk(tmp_path):
    make_store(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / "shard-00000.safetensors", "pt") as shard:
        assert {shard.get_tensor(name).dtype for name in shard.keys()} == {torch.bfloat16}  # noqa: SIM118
        assert shard.metadata() == {"model_digest": "abc"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shard_is_what_safetensors_itself_would_write(tmp_path, dtype):
    pieces = {
        f"resid_post.{layer}@end": [torch.randn(n, WIDTH).to(dtype) for n in (3, 0, 5)] for layer in LAYERS
    }
    shard = write_shard(tmp_path, 0, pieces, "abc")
    whole = {name: torch.cat(found) for name, found in pieces.items()}
    content = (tmp_path / shard.file).read_bytes()
    assert content == save(whole, metadata={"model_digest": "abc"})
    assert (shard.rows, shard.tokens, shard.bytes) == (8, 0, len(content))
    assert shard.sha256 == digest(tmp_path / shard.file)
    for name, values in load_file(tmp_path / shard.file).items():
        assert torch.equal(values, whole[name])


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
        with pytest.raises(StudyError, match=f"{name}: is damaged"):
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
    for changes, message in (
        ({"n_rows": 8}, r"has 7 rows, meta.json says 8"),
        ({"d_model": 5}, r"is F32 \[4, 6\], meta.json says float32 \[4, 5\]"),
        ({"dtype": "float16"}, r"meta\.json says float16"),
        ({"places": [["resid_post", 3]]}, r"no readable tensor resid_post.3@end"),
        ({"places": [["resid_post"]]}, r"'places' must be a list of \[site, layer\]"),
        ({"rules": ["end", "token"]}, r"'tokens' must be a dict"),
        ({"reader": None}, r"'reader' must be a str, it is None"),
        ({"shards": [{**good["shards"][0], "file": "../shard"}]}, r"lies in the store itself"),
        ({"index": {"file": "index.parquet"}}, r"a file needs file, bytes, sha256"),
    ):
        rewrite(**changes)
        with pytest.raises(StudyError, match=message):
            Activations.open(tmp_path)
    path.write_text(json.dumps({name: value for name, value in good.items() if name != "d_model"}))
    with pytest.raises(StudyError, match=r"'d_model' must be a int, it is None"):
        Activations.open(tmp_path)


def test_another_models_or_another_tables_store_is_refused(tmp_path):
    make_store(tmp_path / "a", steps_digest="one")
    Activations.open(tmp_path / "a", model_digest="abc", steps_digest="one")
    for wanted, message in (
        ({"model_digest": "abd"}, r"of another model: meta.json says model_digest 'abc', expected is 'abd'"),
        ({"steps_digest": "two"}, r"of another steps: .* 'one', expected is 'two'"),
        ({"tokenizer_digest": "t"}, r"of another tokenizer: .* None, expected is 't'"),
    ):
        with pytest.raises(StudyError, match=message):
            Activations.open(tmp_path / "a", **wanted)


def test_the_manifest_of_a_model_of_the_same_shape_is_refused_without_reading_the_tensors(tmp_path):
    make_store(tmp_path / "a", model="abc")
    make_store(tmp_path / "b", model="xyz")
    shutil.copy(tmp_path / "b" / "meta.json", tmp_path / "a" / "meta.json")
    with pytest.raises(StudyError, match=r"is of the model 'abc', meta.json of 'xyz'"):
        Activations.open(tmp_path / "a")


@pytest.mark.parametrize(("column", "value"), [("row", 4), ("row", -1), ("shard", 3), ("shard", -1)])
def test_an_index_that_points_outside_the_shards_is_refused(tmp_path, column, value):
    index, _ = make_store(tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    index.loc[5, "shard"] = 0
    index.loc[5, column] = value
    rewritten = pa.Table.from_pandas(index, preserve_index=False)
    pq.write_table(rewritten, tmp_path / "index.parquet")
    file = tmp_path / "index.parquet"
    with pytest.raises(StudyError, match=r"index.parquet: (has \d+ bytes|is damaged)"):
        Activations.open(tmp_path)
    meta["index"] |= {"bytes": file.stat().st_size, "sha256": digest(file)}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(StudyError, match=r"index.parquet: question 'q5', .* points at row .* of shard"):
        Activations.open(tmp_path)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_index_order_gives_its_rows(tmp_path_factory, data):
    sizes = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    places = [(shard, row) for shard, n in enumerate(sizes) for row in range(n)]
    chosen = data.draw(st.lists(st.sampled_from(places), max_size=12) if places else st.just([]))
    folder = tmp_path_factory.mktemp("store")
    values = [torch.randn(n, WIDTH) for n in sizes]
    shards = [write_shard(folder, i, {tensor_name(1, "end"): v}) for i, v in enumerate(values)]
    index = pd.DataFrame(
        [("q", "a", 0, i, shard, row) for i, (shard, row) in enumerate(chosen)],
        columns=["qid", "arm", "cid", "sid", "shard", "row"],
    )
    about = {"reader": "r", "model_digest": "", "sites": ["resid_post"], "layers": [1], "rules": ["end"]}
    finish_store(folder, index, shards, {**about, "dtype": "float32", "d_model": WIDTH})
    got = Activations.open(folder).layer("resid_post", 1)
    expected = [values[shard][row].numpy() for shard, row in chosen]
    np.testing.assert_array_equal(got, np.array(expected, np.float32).reshape(-1, WIDTH))


def test_a_store_that_another_program_wrote_from_the_documentation_opens(tmp_path):
    """Nothing of mechcot writes here: safetensors, pyarrow and json, as docs/activations.md has it."""
    places, rules = [["resid_post", 0], ["resid_post", 2], ["mlp_out", 2]], ["mean", "token"]
    rows, tokens = (2, 1), (5, 0)
    shards, tensors = [], []
    for number in range(2):
        shape = {"mean": (rows[number], 4), "token": (tokens[number], 4)}
        found = {f"{s}.{n}@{rule}": torch.randn(shape[rule]).bfloat16() for s, n in places for rule in rules}
        file = tmp_path / f"shard-{number:05d}.safetensors"
        save_file(found, file)
        tensors.append(found)
        entry = {"file": file.name, "rows": rows[number], "tokens": tokens[number]}
        shards.append({**entry, "bytes": file.stat().st_size, "sha256": digest(file)})
    steps = [("q1", "base", 0, 0, 1, 0), ("q2", "base", 0, 0, 0, 0), ("q2", "base", 0, 1, 0, 1)]
    words = [("q2", "base", 0, token, 0, token) for token in range(5)]
    files = {}
    for name, unit, index in (("index", "sid", steps), ("tokens", "token", words)):
        columns = dict(
            zip(["qid", "arm", "cid", unit, "shard", "row"], zip(*index, strict=True), strict=True)
        )
        table = pa.table(
            {n: pa.array(v, None if n in ("qid", "arm") else pa.int32()) for n, v in columns.items()}
        )
        pq.write_table(table, tmp_path / f"{name}.parquet")
        file = tmp_path / f"{name}.parquet"
        files[name] = {"file": file.name, "bytes": file.stat().st_size, "sha256": digest(file)}
    meta = {
        "format": "mechcot-activations/1",
        "reader": "somebody",
        "model_digest": "any text",
        "places": places,
        "sites": ["resid_post", "mlp_out"],
        "layers": [0, 2],
        "rules": rules,
        "dtype": "bfloat16",
        "d_model": 4,
        "n_rows": 3,
        "n_tokens": 5,
        "shards": shards,
        **files,
        "remark": "fields that are not listed are ignored",
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    store = Activations.open(tmp_path, model_digest="any text")
    store.verify()
    for site, layer in store.places:
        name = f"{site}.{layer}@"
        mean = torch.cat([tensors[1][name + "mean"], tensors[0][name + "mean"]]).float().numpy()
        np.testing.assert_array_equal(store.layer(site, layer, "mean"), mean)
        np.testing.assert_array_equal(store.layer(site, layer, "token"), tensors[0][name + "token"].float())
    assert store.frame("token").token.tolist() == list(range(5))
    assert store.frame("mean").qid.tolist() == ["q1", "q2", "q2"]
    with pytest.raises(StudyError, match=r"has no mlp_out\.0@mean"):
        store.layer("mlp_out", 0, "mean")
    with pytest.raises(StudyError, match=r"has no resid_post\.2@end"):
        store.layer("resid_post", 2)


@pytest.mark.parametrize("start", [0, 2**62, 40])
def test_a_hostile_header_is_refused(tmp_path, start):
    make_store(tmp_path)
    file = tmp_path / "shard-00000.safetensors"
    content = file.read_bytes()
    file.write_bytes(start.to_bytes(8, "little") + content[8:])
    with pytest.raises(StudyError, match=r"no readable (header|tensor)"):
        Activations.open(tmp_path)


def test_what_was_not_kept_is_named(tmp_path):
    make_store(tmp_path)
    store = Activations.open(tmp_path)
    for wanted in (("resid_post", 7), ("resid_post", 1, "start"), ("mlp_out", 1), (1, "end")):
        with pytest.raises(
            StudyError, match=r"has no .* it has the sites \['resid_post'\], layers \[0, 1, 2\]"
        ):
            store.layer(*wanted)
    with pytest.raises(StudyError, match="has no tokens"):
        store.frame("token")


def test_a_store_opens_without_torch(tmp_path):
    make_store(tmp_path, torch.bfloat16)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from mechcot.study.activations import Activations\n"
        f"store = Activations.open({str(tmp_path)!r}); print(store.layer('resid_post', 1, 'decision').shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(7, 6)"
