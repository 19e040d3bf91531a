"""The local server with a random tiny model: real HTTP, real decoding, replies held to their schema."""

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from conftest import tiny_model
from judging_cases import KEY, LABELS, judgement, steps_of
from mechcot.core.errors import MissingDependency, ModelError, UsageError
from mechcot.models.checkpoint import Checkpoint
from mechcot.serving import Decoder, LocalServer
from mechcot.serving.request import ChatRequest, read_request

TEXT = [
    '{"reason": "the step claims that bile is made in the liver, and that is so", "label": "correct"}',
    '{"reason": "the pancreas does not make it", "label": "erroneous"}, not_checkable, abstain',
    "You check single steps of a written line of reasoning. Which organ makes bile?",
]


def byte_tokenizer(folder, text=TEXT, *, all_bytes=True):
    """A byte-level BPE tokenizer: it can spell anything, or what its text holds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if all_bytes else []
    inner.train_from_iterator(
        text,
        trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, special_tokens=["<pad>", "<eos>"]),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    fast.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if shout is defined %}{{ shout }}{% endif %}assistant: "
    )
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return byte_tokenizer(tmp_path_factory.mktemp("bytes"))


def decoder(tokenizer, seed=0, context=4096):
    # Rows beyond the tokenizer's own: models pad their vocabulary.
    model = tiny_model("qwen3", seed=seed, vocab=len(tokenizer) + 7)
    return Decoder(Checkpoint("tiny", model, tokenizer, (1,), context))


@pytest.fixture(scope="module")
def server(tokenizer):
    with LocalServer(decoder(tokenizer), "tiny-0") as running:
        yield running


def post(server, path="/v1/chat/completions", raw=None, **body):
    data = raw if raw is not None else json.dumps({"model": server.model, **body}).encode()
    root = server.url.removesuffix("/v1")
    request = urllib.request.Request(root + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def say(text, **more):
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 24, **more}


def texts(server, **body):
    status, answer = post(server, **body)
    assert status == 200, answer
    return [choice["message"]["content"] for choice in answer["choices"]]


def test_three_random_judges_give_two_hundred_verdicts_that_all_fit_the_schema(tokenizer, tmp_path):
    steps = steps_of([f"Claim {i}: {'bile ' * (i % 5)}" for i in range(67)])
    verdicts = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with LocalServer(decoder(tokenizer, seed), f"tiny-{seed}") as running:
            done = judgement(
                folder,
                running,
                steps,
                model=running.model,
                api_key_env=None,
                max_tokens=80,
                temperature=1.0,
                seed=seed,
                concurrency=32,
                prompt="Judge.",
            )
        assert done.about["server_enforces_schema"] is True
        assert done.about["returned_model"] == f"tiny-{seed}"
        # Not one reply was unreadable: none was asked for twice.
        assert (done.about["faults"], done.about["usage"]["replies"]) == ({}, 67)
        assert done.about["usage"]["completion_tokens"] <= 67 * 80
        assert done.about["usage"]["prompt_tokens"] > 67 * 100
        verdicts += [(seed, row["label"]) for row in done.rows]
    assert len(verdicts) == 201
    assert {label for _, label in verdicts} <= set(LABELS)
    by_judge = [[label for seed, label in verdicts if seed == judge] for judge in range(3)]
    assert by_judge[0] != by_judge[1] != by_judge[2]


def test_a_seed_repeats_a_text_and_choices_differ(server):
    found = texts(server, **say("hello", seed=5, temperature=1.0, n=4))
    assert found == texts(server, **say("hello", seed=5, temperature=1.0, n=4))
    assert len(set(found)) == 4
    assert found[0] == texts(server, **say("hello", seed=5, temperature=1.0))[0]
    assert found[0] != texts(server, **say("hello", seed=6, temperature=1.0))[0]
    assert texts(server, **say("hello", temperature=1.0)) != texts(server, **say("hello", temperature=1.0))


def test_temperature_zero_is_greedy_and_equal_to_plain_generation(server, tokenizer):
    import torch

    found = texts(server, **say("hello", temperature=0, n=2))
    assert found[0] == found[1]
    model = tiny_model("qwen3", vocab=len(tokenizer) + 7)
    ids = tokenizer("user: hello\nassistant: ", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = model.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=1, pad_token_id=0)
    assert found[0] == tokenizer.decode(plain[0, ids.shape[1] :], skip_special_tokens=True)


def test_draws_follow_the_models_own_probabilities(server, tokenizer):
    import torch

    model = tiny_model("qwen3", vocab=len(tokenizer) + 7)
    ids = tokenizer("user: x\nassistant: ", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        share = torch.softmax(model(ids).logits[0, -1] / 2.0, -1)
    top = int(share.argmax())
    word = tokenizer.decode([top])
    ask = [say("x", temperature=2.0, max_tokens=1, n=16, seed=seed) for seed in range(25)]
    hits = sum(text == word for body in ask for text in texts(server, **body))
    expected = 400 * float(share[top])
    spread = (400 * float(share[top]) * (1 - float(share[top]))) ** 0.5
    assert abs(hits - expected) <= 4 * spread + 1


def test_usage_counts_tokens_and_length_is_told(server, tokenizer):
    _, answer = post(server, **say("hello", max_tokens=7, temperature=0, n=2))
    prompt = len(tokenizer("user: hello\nassistant: ")["input_ids"])
    assert answer["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 14,
        "total_tokens": prompt + 14,
    }
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "length"]
    _, answer = post(server, **say("hello", chat_template_kwargs={"shout": "HELLO"}, max_tokens=1))
    assert answer["usage"]["prompt_tokens"] > prompt


@pytest.mark.parametrize("limit", [72, 90, 300])
def test_an_open_string_is_closed_before_the_tokens_run_out(server, limit):
    schema = {
        "type": "object",
        "properties": {
            "first": {"type": "string"},
            "list": {"type": "array", "items": {"type": "integer"}},
            "sign": {"enum": ["+", "-"]},
        },
        "required": ["first", "list", "sign"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for text in texts(server, **say("go", max_tokens=limit, response_format=form, n=8, seed=limit)):
        found = json.loads(text)
        assert list(found) == ["first", "list", "sign"]
        assert found["sign"] in "+-"
        assert all(type(item) is int for item in found["list"])


def test_a_json_object_is_an_object(server):
    form = {"type": "json_object"}
    found = texts(server, **say("go", max_tokens=120, response_format=form, n=8, seed=1))
    assert all(isinstance(json.loads(text), dict) for text in found)


def test_requests_that_come_together_are_answered_each_by_its_own_schema(server):
    def ask(number):
        schema = {"type": "object", "properties": {"n": {"const": number}}, "required": ["n"]}
        schema["additionalProperties"] = False
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        return json.loads(texts(server, **say("x" * number, response_format=form, seed=number))[0])

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(ask, range(40))) == [{"n": number} for number in range(40)]


def test_health_and_models(server):
    root = server.url.removesuffix("/v1")
    with urllib.request.urlopen(root + "/health") as answer:
        assert json.load(answer) == {"status": "ok"}
    with urllib.request.urlopen(server.url + "/models") as answer:
        assert [model["id"] for model in json.load(answer)["data"]] == ["tiny-0"]
    assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(root + "/v1/embeddings")
    assert post(server, path="/v1/embeddings", raw=b"{}")[0] == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (say("x", top_p=0.5), "top_p: is not honoured by this server; it knows model, temperature, seed"),
        (say("x", stream_options={"every": 1}), "stream_options.every"),
        (say("x", n=17), "n: Input should be less than or equal to 16"),
        (say("x", temperature=-1), "temperature"),
        (say("x", max_tokens=5000), "more than the 4096 of the model's context"),
        (say("x", model="gpt"), "this server serves 'tiny-0', not 'gpt'"),
        (say("x", response_format={"type": "json_schema"}), "holds no json_schema"),
        (
            say("x", response_format={"type": "json_schema", "json_schema": {"schema": {"type": "frog"}}}),
            "the schema cannot be held to",
        ),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    ],
)
def test_what_is_not_honoured_is_refused(server, body, message):
    status, answer = post(server, **{"model": "tiny-0", **body})
    assert status == 400
    assert message in answer["error"]["message"]


def test_bodies_that_are_no_requests_are_refused_and_the_server_goes_on(server):
    assert post(server, raw=b"not json")[0] == 400
    assert post(server, raw=b"\xff\xfe")[0] == 400
    assert len(texts(server, **say("hello"))) == 1


def test_a_batch_too_large_for_the_memory_is_decoded_in_halves(tokenizer):
    import torch

    small = decoder(tokenizer)

    def short_of_memory(module, args, kwargs):
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no")

    small._model.register_forward_pre_hook(short_of_memory, with_kwargs=True)
    with LocalServer(small, "tiny") as running:
        assert post(running, **say("x", n=2))[0] == 200
        status, answer = post(running, **say("x", n=4))
        assert (status, "memory is too short" in answer["error"]["message"]) == (500, True)
        gate = threading.Barrier(6)

        def ask(_):
            gate.wait()
            return post(running, **say("x"))[0]

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(ask, range(6))) == [200] * 6


@pytest.mark.parametrize("family", ["lfm2", "doge", "longrope"])
def test_replies_are_what_passes_without_a_cache_give(family, tokenizer):
    """Unlike lengths in one batch; texts outgrow the length where the factors of "longrope" change."""
    import torch

    from model_families import CONFIGS

    config = CONFIGS[family]()
    config.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    asking = Decoder(Checkpoint("tiny", model, tokenizer, (1,), 96))
    requests = [
        read_request(json.dumps({"model": "tiny", **say(text, temperature=0)}).encode(), ChatRequest)
        for text in ("a", "abcdefgh")
    ]
    batch = [asking.prepare(request) for request in requests]
    for prepared, done in zip(batch, asking.complete(batch), strict=True):
        ids = list(prepared.prompt_ids)
        with torch.no_grad():
            while len(ids) < len(prepared.prompt_ids) + 24 and ids[-1] != 1:
                ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        assert done.texts == [tokenizer.decode(ids[len(prepared.prompt_ids) :], skip_special_tokens=True)]


def test_tokenizers_that_cannot_spell_json_are_named(checkpoint_folder, tmp_path):
    form = {"type": "json_object"}
    with LocalServer.load(str(checkpoint_folder), device="cpu") as running:
        status, answer = post(running, **say("w1", response_format=form))
        assert (status, "llguidance cannot use its tokenizer" in answer["error"]["message"]) == (400, True)
        assert post(running, **say("w1"))[0] == 200  # texts need no schema
    poor = byte_tokenizer(tmp_path, ["user: bile", "assistant: liver"], all_bytes=False)
    with LocalServer(decoder(poor), "poor") as running:
        status, answer = post(running, **say("bile", response_format=form))
        assert (status, "cannot spell" in answer["error"]["message"]) == (500, True), answer
        assert post(running, **say("bile"))[0] == 200


def saved(folder, tokenizer):
    model = tiny_model("qwen3", vocab=len(tokenizer))
    model.config.max_position_embeddings = 4096
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("end", "variable", "option"),
    [(signal.SIGINT, None, ()), (signal.SIGTERM, "SERVER_KEY", ("--api-key-env", "SERVER_KEY"))],
)
def test_the_command_serves_until_it_is_interrupted(end, variable, option, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", KEY)
    folder = saved(tmp_path / "my-judge", tokenizer)
    command = [sys.executable, "-m", "mechcot", "serve-local", str(folder), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen([*command, *option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told = yaml.safe_load("".join(process.stdout.readline() for _ in range(3)))
        assert (told["model"], told["api_key_env"]) == ("my-judge", variable)
        done = judgement(
            tmp_path, SimpleNamespace(url=""), steps_of(["a"]), max_tokens=80, prompt="Judge.", **told
        )
        assert done.rows[0]["label"] in LABELS
    finally:
        process.send_signal(end)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")  # nothing of requests or keys is logged
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(urlsplit(told["base_url"]).netloc.split(":"))
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_port_in_use_is_named(server, tokenizer):
    port = int(server.url.removesuffix("/v1").rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"port {port} cannot be used"):
        LocalServer(decoder(tokenizer), "x", port=port)


def test_log_probabilities_are_the_model_s_own(tokenizer):
    import torch

    asking = decoder(tokenizer)
    with LocalServer(asking, "tiny") as running:
        body = say("go", n=2, seed=7, temperature=2.0, max_tokens=9)
        status, answer = post(running, **body, logprobs=True)
        assert status == 200
        assert [c["message"]["content"] for c in answer["choices"]] == texts(running, **body)
        text = "user: go\nassistant: "
        ids = tokenizer(text)["input_ids"]
        plain = {"prompt": text, "n": 2, "seed": 7, "temperature": 2.0, "max_tokens": 9, "logprobs": 1}
        _, by_text = post(running, "/v1/completions", **plain)
        _, by_ids = post(running, "/v1/completions", **plain | {"prompt": ids})
        assert by_text["choices"] == by_ids["choices"]
        assert by_text["usage"] == answer["usage"]
        for chat, one in zip(answer["choices"], by_text["choices"], strict=True):
            listed = one["logprobs"]
            assert one["text"] == chat["message"]["content"]
            assert listed["tokens"] == [item["token"] for item in chat["logprobs"]["content"]]
            assert listed["token_logprobs"] == pytest.approx(
                [item["logprob"] for item in chat["logprobs"]["content"]], abs=1e-4
            )
            written = asking.prepare(
                read_request(json.dumps({"model": "tiny", **body}).encode(), ChatRequest)
            )
            assert written.prompt_ids == ids
        done = asking.complete([asking.prepare(ChatRequest(model="tiny", **body, logprobs=True))])[0]
        assert [len(tokens) for tokens in done.tokens] == [9, 9]
        status, answer = post(running, "/v1/completions", prompt=[10**6])
        assert (status, "is no token" in answer["error"]["message"]) == (400, True)
        status, answer = post(running, "/v1/completions", prompt="a", stream=True)
        assert (status, "stream: is not honoured" in answer["error"]["message"]) == (400, True)
    greedy = say("go", temperature=0, max_tokens=6, logprobs=True)
    (done,) = asking.complete([asking.prepare(ChatRequest(model="tiny", **greedy))])
    model, whole = asking._model, list(ids)
    for _, logprob in done.tokens[0]:
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([whole])).logits[0, -1].log_softmax(-1)
        assert logprob == pytest.approx(float(scores.max()), abs=1e-4)
        whole.append(int(scores.argmax()))


def test_llguidance_missing_says_how_to_install_it(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)
    with pytest.raises(MissingDependency, match=r"mechcot\[serve\]"):
        decoder(tokenizer)


@pytest.mark.parametrize("package", ["uvicorn", "starlette"])
def test_a_server_stack_that_is_missing_says_how_to_install_it(package):
    code = f"import sys; sys.modules[{package!r}] = None; import mechcot.serving"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"MissingDependency: {package}" in done.stderr
    assert "pip install 'mechcot[serve]'" in done.stderr


def test_a_checkpoint_folder_is_served_under_its_name(tokenizer, tmp_path):
    folder = saved(tmp_path / "my-judge", tokenizer)
    with LocalServer.load(str(folder), device="cpu") as running:
        assert running.model == "my-judge"
        assert len(texts(running, **say("hello", max_tokens=4))) == 1
    with pytest.raises(ModelError, match="no such folder"):
        LocalServer.load(str(tmp_path / "none"), device="cpu")
