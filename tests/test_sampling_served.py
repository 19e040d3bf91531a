"""An arm's traces from a server: a real client, real HTTP on the loopback, and servers of many minds."""

from __future__ import annotations

import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency
from transformers import AutoTokenizer

from conftest import save_checkpoint
from loopback import Answer, Call, Loopback
from mechcot.core.errors import ConfigError, DataError, JudgeError, SamplingError, StudyError
from mechcot.core.files import read_json
from mechcot.pipeline import greedy, text
from mechcot.pipeline import run as pipeline
from mechcot.pipeline.served import server_basis
from mechcot.sampling.requests import UNLIMITED
from mechcot.serving import LocalServer
from served_cases import QUESTIONS, answered, honest, sampler_file, says, settings_of, study_of

SAMPLED = {"temperature": 1.0, "samples": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(scope="module")
def local(folder: Path) -> Any:
    with LocalServer.load(str(folder), device="cpu") as running:
        yield running


def traces(study: Any, arm: str = "base") -> pd.DataFrame:
    text.sample_traces(study, arm, False, study.path.parent / f"work-{arm}")
    return pd.read_parquet(study.arm_path(arm) / "traces.parquet")


def about(study: Any) -> dict[str, Any]:
    return dict(read_json(study.arm_path("base") / "server.json"))


# --- against sampling in this process ---------------------------------------------------------------


@pytest.mark.parametrize("sends", ["messages", "text", "tokens"])
def test_at_temperature_0_the_traces_are_those_sampled_here(
    sends: str, folder: Path, local: Any, tmp_path: Path
) -> None:
    server = sampler_file(tmp_path / "s.yaml", local.url, sends=sends)
    study = study_of(tmp_path / "a", folder, server, questions=6)
    there, here = traces(study), traces(study, "distilled")
    for column in ("qid", "cid", "text", "finish_reason", "answer", "answer_rule", "reasoning_end"):
        assert list(there[column]) == list(here[column]), column
    for column in ("prompt_ids", "token_ids", "token_start", "token_end"):
        assert [list(v) for v in there[column]] == [list(v) for v in here[column]], column
    assert there.sum_logprob.to_numpy() == pytest.approx(here.sum_logprob.to_numpy(), abs=1e-3)
    assert {"stop", "length"} == set(there.finish_reason)
    told = about(study)
    assert (told["prompts_compared"], told["n_questions"], told["respelled"]) == (6, 6, 0)
    assert (told["sends"], told["logprobs"], told["seed_repeats"]) == (sends, True, None)
    found = told["recomputed"]
    assert (found["n_texts"], found["n_otherwise"]) == (6, 0)
    assert 0 < found["mean_absolute"] <= found["largest"] < 1e-3


def test_the_same_stop_string_ends_texts_where_it_does_here(folder: Path, tmp_path: Path) -> None:
    plain = traces(study_of(tmp_path / "plain", folder, None), "distilled")
    stop = plain.text[0].split()[3]  # a word that comes

    def unheeding(call: Call) -> Answer:  # what the model writes, as if it had never heard of stop strings
        assert call.body["stop"] == [stop]
        row = plain[plain.qid == by_stem[call.user.split(" .")[0]]].iloc[0]
        said = {"message": {"content": row.text}, "finish_reason": row.finish_reason}
        return answered(call, [said], tokens=len(row.token_ids) if call.body["max_tokens"] == 12 else 8)

    by_stem = {row["question"]: row["qid"] for row in QUESTIONS}
    with Loopback(unheeding) as server:
        file = sampler_file(tmp_path / "s.yaml", server.url)
        study = study_of(tmp_path / "a", folder, file, sampling={"stop": [stop]})
        there, here = traces(study), traces(study, "distilled")
    assert list(there.text) == list(here.text)
    assert list(there.finish_reason) == list(here.finish_reason)
    assert [list(ids) for ids in there.token_ids] == [list(ids) for ids in here.token_ids]
    assert about(study)["stopped_here"] == sum(stop in said for said in plain.text) > 0
    assert there.sum_logprob.isna().all()  # the server listed none


def test_at_a_temperature_the_server_s_texts_are_distributed_as_those_sampled_here(
    folder: Path, local: Any, tmp_path: Path
) -> None:
    """First words of 480 samples by each, in one table: the same up to chance (chi-square, p = 0.001)."""
    many = {"temperature": 1.5, "samples": 480, "max_new_tokens": 2}
    server = sampler_file(tmp_path / "s.yaml", local.url, samples_per_request=16)
    study = study_of(tmp_path / "a", folder, server, questions=1, sampling=many)
    there, here = traces(study), traces(study, "distilled")
    told = about(study)
    assert (told["samples_of_a_request"], told["seed_repeats"], told["usage"]["requests"]) == (16, True, 30)
    counts = [Counter(row[0] for row in table.token_ids) for table in (there, here)]
    common = [word for word, n in (counts[0] + counts[1]).items() if n >= 20]
    rows = [[own[word] for word in common] + [480 - sum(own[w] for w in common)] for own in counts]
    assert len(common) > 3
    assert chi2_contingency(np.array(rows)).pvalue > 0.001
    colder = traces(
        study_of(tmp_path / "b", folder, server, questions=1, sampling=many | {"temperature": 0.7})
    )
    own = Counter(row[0] for row in colder.token_ids)
    rows[0] = [own[word] for word in common] + [480 - sum(own[w] for w in common)]
    assert chi2_contingency(np.array(rows) + 1).pvalue < 1e-6  # the test sees another temperature


def test_samples_that_a_server_refuses_to_give_at_once_come_one_by_one(
    folder: Path, local: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = sampler_file(tmp_path / "s.yaml", local.url)  # asks for n=20, and serve-local gives 16
    study = study_of(tmp_path / "a", folder, server, questions=1, sampling=SAMPLED | {"samples": 20})
    with caplog.at_level(logging.INFO):
        there = traces(study)
    assert "one request a sample (asked for more it said: HTTP 400: n: " in caplog.text
    assert about(study)["usage"]["requests"] == len(there) == 20
    assert there.text.nunique() > 10


def test_the_greedy_trace_of_a_served_arm_is_the_server_s_too(
    folder: Path, local: Any, tmp_path: Path
) -> None:
    server = sampler_file(tmp_path / "s.yaml", local.url)
    study = study_of(
        tmp_path / "a", folder, server, sampling={"greedy": True, "samples": 2, "temperature": 1.0}
    )
    (study.path / "work").mkdir(exist_ok=True)
    for arm in ("base", "distilled"):
        greedy.decode(study, arm, False, study.path / "work")
    there, here = (study.greedy_table(arm, "traces") for arm in ("base", "distilled"))
    assert list(there.text) == list(here.text)
    assert set(there.cid) == {2}
    stages = {stage.name: stage for stage in greedy.greedy_stages(study, False)}
    assert stages["greedy-base"].settings["server"]["model"] == "tiny"
    assert "server" not in stages["greedy-distilled"].settings
    assert stages["greedy-base"].plan().answered == 4


def test_a_stage_goes_by_what_of_the_file_decides_texts(folder: Path, tmp_path: Path) -> None:
    file = sampler_file(tmp_path / "s.yaml", "http://127.0.0.1:9/v1")
    study = study_of(tmp_path / "a", folder, file)

    def settings() -> Any:
        return next(s for s in text.text_stages(study, False) if s.name == "sample-base").settings

    before = settings()
    sampler_file(file, "http://127.0.0.1:9/v1", concurrency=99, timeout=1, price_in=1, budget=2, price_out=1)
    assert settings() == before
    sampler_file(file, "http://127.0.0.1:9/v1", extra_body={"min_p": 0.1})
    assert settings() != before
    assert "batch_rows" not in before["sampling"]


# --- what must hold ---------------------------------------------------------------------------------


def test_another_prompt_than_the_weights_read_is_refused_with_both_numbers(
    folder: Path, tmp_path: Path
) -> None:
    other = save_checkpoint(tmp_path / "tiny")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.chat_template = "w1 w2 " + tokenizer.chat_template
    tokenizer.save_pretrained(other)
    with LocalServer.load(str(other), device="cpu") as running:
        study = study_of(tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url))
        with pytest.raises(SamplingError, match=r"'q0' has 6 prompt tokens .* the server counted 8") as error:
            traces(study)
        assert "sends: tokens" in str(error.value)
        tokens = sampler_file(tmp_path / "s.yaml", running.url, sends="tokens")
        assert len(traces(study_of(tmp_path / "b", folder, tokens))) == 4


def test_paid_traces_are_not_lost_where_the_weights_do_not_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = save_checkpoint(tmp_path / "tiny")
    with LocalServer.load(str(own), device="cpu") as running:
        study = study_of(tmp_path / "a", own, sampler_file(tmp_path / "s.yaml", running.url))
        (own / "model.safetensors").unlink()  # the server has read it
        assert len(traces(study)) == 4
    assert "log-probabilities are not compared with the weights'" in caplog.text
    assert about(study)["recomputed"]["why"]


def test_one_question_that_the_server_puts_otherwise_stops_all_where_it_comes(
    folder: Path, tmp_path: Path
) -> None:
    odd = QUESTIONS[9]["question"]

    def counts(call: Call) -> Answer:
        time.sleep(0.02)
        return answered(call, [says(call, 0)], prompt=7 if str(odd) in call.user else None)

    with Loopback(counts) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url, concurrency=1)
        more = {"temperature": 1.0, "samples": 6}
        study = study_of(tmp_path / "a", folder, file, questions=12, sampling=more)
        with pytest.raises(SamplingError, match=r"'q9' has 6 prompt tokens .* the server counted 7"):
            traces(study)
        asked = len(running.calls)
        assert asked < 2 + 72
        with pytest.raises(SamplingError, match=r"'q9' has 6 prompt tokens"):
            traces(study)  # by the kept reply
        assert len(running.calls) == asked
        assert text.plan_sampling(study, "base").answered == asked - 2


def test_a_server_with_other_weights_is_told_by_its_log_probabilities(folder: Path, tmp_path: Path) -> None:
    other = save_checkpoint(tmp_path / "tiny", seed=5)
    with LocalServer.load(str(other), device="cpu") as running:
        study = study_of(tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url))
        traces(study)
    assert about(study)["recomputed"]["mean_absolute"] > 0.5


def ignores_n(call: Call) -> Answer:
    return answered(call, [says(call, 0)])


def refuses_n(call: Call) -> Answer:
    refused = "n" in call.body
    return Answer(status=400, body=b'{"error": {"message": "n is unknown"}}') if refused else honest(call)


@pytest.mark.parametrize(
    ("server", "requests", "said"),
    [(honest, 4, "gives n=4"), (ignores_n, 16, "ignores it"), (refuses_n, 16, "n is unknown")],
)
def test_it_is_found_out_and_said_whether_several_samples_come_at_once(
    server: Any, requests: int, said: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Loopback(server) as running, caplog.at_level(logging.INFO):
        study = study_of(
            tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url), sampling=SAMPLED
        )
        rows = traces(study)
    assert said in caplog.text
    assert rows.groupby("qid").size().tolist() == [4] * 4
    told = about(study)
    assert told["usage"]["requests"] == requests
    assert told["usage"]["replies"] == requests
    long = [call for call in running.calls if call.body["max_tokens"] == 12]
    assert len({call.body["seed"] for call in long}) == len(long) == requests
    assert all(UNLIMITED.items() <= call.body.items() for call in long)
    assert (told["recomputed"], told["unlimited"]) == (None, True)
    assert rows.sum_logprob.isna().all()


def test_a_server_that_heeds_no_seed_is_told_of_and_its_replies_are_kept(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = count()

    def heedless(call: Call) -> Answer:
        return answered(call, [{"message": {"content": f"w{next(numbers) % 57} . answer w20"}}])

    with Loopback(heedless) as running, caplog.at_level(logging.INFO):
        file = sampler_file(tmp_path / "s.yaml", running.url)
        study = study_of(tmp_path / "a", folder, file, sampling=SAMPLED)
        first = traces(study)
        assert "the same seed gives another text" in caplog.text
        assert about(study)["seed_repeats"] is False
        assert traces(study).equals(first)  # from the kept replies


def test_a_server_that_gives_fewer_than_it_gave_first_is_refused(folder: Path, tmp_path: Path) -> None:
    def tires(call: Call) -> Answer:
        n = call.body["n"] if call.body["max_tokens"] < 12 else 3
        return answered(call, [says(call, i) for i in range(n)])

    with Loopback(tires) as running:
        study = study_of(
            tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url), sampling=SAMPLED
        )
        with pytest.raises(SamplingError, match=r"n=4 samples and gave 3"):
            traces(study)


def test_a_server_that_does_not_sample_is_refused_and_a_sure_model_is_not(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def same(call: Call) -> Answer:
        return honest(call, lambda call, index: says(call, 0) | {"message": {"content": "w1 w2"}})

    def sure(call: Call) -> Answer:
        return honest(call) if call.body["temperature"] > 1 else same(call)

    with Loopback(same) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url)
        study = study_of(tmp_path / "a", folder, file, questions=12, sampling=SAMPLED)
        with pytest.raises(SamplingError, match="the server does not sample"):
            traces(study)
        asked = {call.user for call in running.calls if call.body["max_tokens"] == 12}
        assert len(asked) == 8  # the other questions were not paid for
    with Loopback(sure) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url)
        study = study_of(tmp_path / "b", folder, file, sampling=SAMPLED)
        assert set(traces(study).text) == {"w1 w2"}
    assert "the model is sure and the server samples" in caplog.text


@pytest.mark.parametrize(
    ("choice", "tokens", "says_so"),
    [
        ({"finish_reason": "content_filter"}, 5, r"ended it by 'content_filter'"),
        ({"finish_reason": "length"}, 5, r"counts 5 tokens where 12 were allowed.*context is too short"),
        ({"message": {"content": ""}}, 1, r"4 of its 4 completions are empty"),
        ({"message": {"content": " ".join(["w1"] * 30)}}, 30, r"counts 30 tokens for 1 texts of at most 12"),
        (
            {"message": {"content": "w1"}},
            9,
            r"its model wrote 36 tokens, and its texts hold 8 .* keeps a part",
        ),
        ({"message": {"content": None, "refusal": "no"}}, 5, r"ended it by 'refusal'"),
        ({"message": {"content": "zebra"}}, 5, r"does not give back 4 of the server's 4 texts"),
    ],
)
def test_what_no_trace_can_be_is_refused(
    choice: dict[str, Any], tokens: int, says_so: str, folder: Path, tmp_path: Path
) -> None:
    def odd(call: Call) -> Answer:
        short = call.body["max_tokens"] < 12
        return answered(
            call, [says(call, 0) if short else says(call, 0) | choice], tokens=5 if short else tokens
        )

    with Loopback(odd) as running:
        study = study_of(tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url))
        with pytest.raises(SamplingError, match=says_so):
            traces(study)


def test_a_server_out_of_reach_an_unknown_model_and_a_short_context_are_told(
    folder: Path, local: Any, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    study = study_of(tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", f"http://127.0.0.1:{port}/v1"))
    with pytest.raises(
        JudgeError,
        match=rf"at the start-up call: the connection failed .*127\.0\.0\.1:{port}.* correct base_url",
    ):
        traces(study)
    study = study_of(tmp_path / "b", folder, sampler_file(tmp_path / "s.yaml", local.url, model="other"))
    with pytest.raises(JudgeError, match=r"HTTP 400: model: this server serves 'tiny', not 'other'"):
        traces(study)
    long = {"max_new_tokens": 200}
    study = study_of(tmp_path / "c", folder, sampler_file(tmp_path / "s.yaml", local.url), sampling=long)
    with pytest.raises(JudgeError, match=r"max_new_tokens=200\): HTTP 400: the prompt has 6 tokens .* 128"):
        traces(study)
    study = study_of(
        tmp_path / "d", folder, sampler_file(tmp_path / "s.yaml", local.url), sampling={"top_p": 0.9}
    )
    with pytest.raises(JudgeError, match=r"top_p: is not honoured.*leave out what this server does not take"):
        traces(study)


def test_a_server_that_counts_no_tokens_is_warned_of(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Loopback(lambda call: answered(call, [says(call, 0)], usage=None)) as running:
        study = study_of(tmp_path / "a", folder, sampler_file(tmp_path / "s.yaml", running.url))
        assert len(traces(study)) == 4
    assert "counted the prompt tokens of 0 of 4 questions" in caplog.text
    assert about(study)["prompts_compared"] == 0


def test_reasoning_in_a_field_of_its_own_stands_in_the_text_again(folder: Path, tmp_path: Path) -> None:
    def apart(call: Call) -> Answer:
        message = {"content": "answer w20", "reasoning_content": f"w{call.body['seed'] % 50} ."}
        return answered(call, [{"message": message}])

    with Loopback(apart) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url)
        study = study_of(tmp_path / "a", folder, file, prompt={"reasoning_end": "</think>"})
        rows = traces(study)
    # The prompt of this template ends with <think>, so that the completion begins behind it.
    assert rows.text.str.fullmatch(r"w\d+ \. </think> answer w20").all()
    assert (rows.reasoning_end == rows.text.str.find("</think>")).all()
    assert rows.answer.tolist() == [0, -1, -1, -1]
    assert about(study)["reasoning_joined"] == 4


# --- a kill -----------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from mechcot import Study
from mechcot.pipeline import greedy, text
text.sample_traces(Study.open(sys.argv[1]), "base", False, Path(sys.argv[1]) / "work")
"""


def test_a_killed_run_loses_no_reply_and_pays_none_twice(folder: Path, tmp_path: Path) -> None:
    reached, at_once = threading.Event(), 3

    def slow(call: Call) -> Answer:
        if len(running.calls) >= 20:
            reached.set()
        return replace(ignores_n(call), delay=0.02)

    with Loopback(slow) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url, concurrency=at_once)
        study = study_of(tmp_path / "a", folder, file, questions=12, sampling=SAMPLED)
        with subprocess.Popen(
            [sys.executable, "-c", RUN, str(study.path)], stderr=subprocess.PIPE
        ) as process:
            assert reached.wait(120), process.communicate()[1]
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        while running.in_flight:
            time.sleep(0.01)
        before = [sent(call) for call in running.calls]
        with closing(sqlite3.connect(study.path / "work" / "calls" / "judge-replies.sqlite")) as cache:
            kept = cache.execute("SELECT count(*) FROM replies").fetchone()[0]
        rows = traces(study)
    after = [sent(call) for call in running.calls[len(before) :]]
    assert 12 <= kept < 48
    assert len(before) - kept <= at_once  # under way when it was killed: nobody knows of them
    assert len(set(before) & set(after)) == len(before) - kept  # nothing else is asked again
    assert len(before) + len(after) == 2 + 48 + len(before) - kept  # two that find out what it can do
    assert rows.groupby("qid").size().tolist() == [4] * 12
    with Loopback(ignores_n) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url)
        whole = study_of(tmp_path / "c", folder, file, questions=12, sampling=SAMPLED)
        assert traces(whole).drop(columns="sum_logprob").equals(rows.drop(columns="sum_logprob"))


def sent(call: Call) -> tuple[Any, ...]:
    return (call.user, call.body["seed"], call.body["max_tokens"], call.body.get("n"))


def test_weights_that_are_made_again_under_the_same_name_are_asked_anew(tmp_path: Path) -> None:
    own = save_checkpoint(tmp_path / "tiny")
    with Loopback(honest) as running:
        study = study_of(tmp_path / "a", own, sampler_file(tmp_path / "s.yaml", running.url))
        traces(study)
        asked = len(running.calls)
        traces(study)
        assert len(running.calls) == asked
        save_checkpoint(own, seed=3)
        assert text.plan_sampling(study, "base").answered == 0
        traces(study)
        assert len(running.calls) == 2 * asked


def test_an_arm_may_get_a_server_until_it_is_sampled(folder: Path, local: Any, tmp_path: Path) -> None:
    out, settings = tmp_path / "out", settings_of(tmp_path / "a", folder, None)
    with pytest.raises(DataError, match=r"none\.csv"):  # the judge's table, after all texts
        pipeline.run(out, config=settings, progress=False)
    file = sampler_file(tmp_path / "s.yaml", local.url)
    with pytest.raises(StudyError, match=r"arms\.base\.server: was None, now"):
        pipeline.run(out, overrides=(f"arms.base.server={file}",), progress=False)
    new = (f"arms.other={{model: {folder}, server: {tmp_path / 'none.yaml'}}}",)
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        pipeline.run(out, overrides=new, progress=False)
    new = (f"arms.other={{model: {folder}, server: {file}}}",)
    with pytest.raises(DataError, match=r"none\.csv"):
        pipeline.run(out, overrides=new, progress=False)
    tables = [pd.read_parquet(out / "arms" / arm / "traces.parquet") for arm in ("other", "base")]
    assert list(tables[0].text) == list(tables[1].text)


# --- settings, money --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "more", "says_so"),
    [
        ({"temperature": 0.5}, {}, r"temperature is no setting of a sampler.*sampling\.temperature"),
        ({"extra_body": {"top_p": 0.5}}, {}, r"top_p is no setting of a sampler.*sampling\.top_p"),
        ({"extra_body": {"n": 2}}, {}, r"extra_body must not set n"),
        ({"sends": "pigeons"}, {}, r"sends"),
        ({}, {"prompt": {"chat": False}}, r"prompt\.chat is false. Set sends: text"),
        (
            {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}},
            {"prompt": {"thinking": False}},
            r"sets enable_thinking to True and the study's prompt\.thinking is False",
        ),
    ],
)
def test_a_file_that_says_otherwise_than_the_study_is_refused(
    file: dict[str, Any], more: dict[str, Any], says_so: str, folder: Path, tmp_path: Path
) -> None:
    server = sampler_file(tmp_path / "s.yaml", "http://127.0.0.1:9/v1", **file)
    with pytest.raises(ConfigError, match=says_so):
        pipeline.plan(tmp_path / "out", config=settings_of(tmp_path / "a", folder, server, **more))


def test_an_arm_that_nothing_samples_has_no_server_and_seeds_have_none(folder: Path, tmp_path: Path) -> None:
    arms = {"base": {"model": str(folder)}, "distilled": {"traces": "x.jsonl", "server": "s.yaml"}}
    with pytest.raises(ConfigError, match="given as traces, and nothing of it is sampled"):
        pipeline.plan(tmp_path / "out", config=settings_of(tmp_path / "a", folder, None, arms=arms))
    distill = {"base": "base", "examples": "x.jsonl"}
    arms = {"base": {"model": str(folder)}, "distilled": {"distill": distill, "server": "s.yaml"}}
    with pytest.raises(ConfigError, match="has the weights of one seed"):
        pipeline.plan(
            tmp_path / "out", config=settings_of(tmp_path / "a", folder, None, arms=arms, seeds=[1])
        )


def test_what_it_takes_is_told_before_and_held_to_a_budget(folder: Path, tmp_path: Path) -> None:
    prices = {"price_in": 1e6, "price_out": 2e6}  # a token in costs 1, one out 2
    with Loopback(honest) as running:
        file = sampler_file(tmp_path / "s.yaml", running.url, **prices)
        settings = settings_of(tmp_path / "a", folder, file, sampling=SAMPLED)
        row = next(
            r for r in pipeline.plan(tmp_path / "out", config=settings).rows if r.what == "sample-base"
        )
        assert (row.calls, row.answered, row.tokens_in, row.tokens_out) == (16, 0, 96, 192)
        assert row.money == 96 + 2 * 192
        assert "4 are all where it gives n=4 in one" in row.note
        assert not running.calls
        sampler_file(file, running.url, budget=600, **prices)
        study = study_of(tmp_path / "a", folder, file, sampling=SAMPLED)
        with pytest.raises(JudgeError, match="the budget is 600"):
            traces(study)
        sent = sum(6 + 2 * 5 * call.body.get("n", 1) for call in running.calls)
        assert 0 < sent + 120 * len(running.checks) <= 600  # as the server counted
        asked = len(running.calls)
        sampler_file(file, running.url, budget=2000, **prices)
        planned = text.plan_sampling(study, "base")
        assert planned.answered > 0
        assert planned.calls == 4 - planned.answered > 0
        rows = traces(study)
        assert len(rows) == 16
        again = running.calls[asked:]
        assert len(again) == planned.calls  # none twice
        done = text.plan_sampling(study, "base")
        assert (done.calls, done.answered, done.tokens_in, done.money) == (0, 4, 0, 0.0)


def test_several_addresses_share_the_samples_and_enter_no_key(folder: Path, tmp_path: Path) -> None:
    def ill(call: Call) -> Answer:
        return honest(call) if len(one.calls) < 6 else Answer(status=503, body=b"{}")

    with Loopback(ill) as one, Loopback(honest) as two:
        file = sampler_file(tmp_path / "s.yaml", one.url, samples_per_request=1)
        alone = study_of(tmp_path / "alone", folder, file, questions=6, sampling=SAMPLED)
        basis = server_basis(alone, "base")
        file = sampler_file(tmp_path / "s.yaml", [one.url, two.url], samples_per_request=1)
        study = study_of(tmp_path / "a", folder, file, questions=6, sampling=SAMPLED)
        assert server_basis(study, "base") == basis
        rows = traces(study)
        n = len(one.calls) + len(two.calls)
    assert min(len(one.calls), len(two.calls)) >= 4
    assert rows.groupby("qid").size().tolist() == [4] * 6
    with Loopback(honest) as other:
        file = sampler_file(tmp_path / "s.yaml", [one.url, other.url], samples_per_request=1)
        assert traces(study).equals(rows)
        assert not other.calls, "all was kept"
    assert n >= 24
