import json
from types import SimpleNamespace

from mechcot import Study
from mechcot.jobs import checkpoint_folder, task_of
from mechcot.models import load_tokenizer
from mechcot.reading import _target, question_inputs


def test_a_target_is_tokenised_as_the_said_object_was(study: Study) -> None:
    tokenizer = load_tokenizer(checkpoint_folder(study, "base"))
    words = [word for word in tokenizer.get_vocab() if word.endswith("ine")][:3]
    said, *true = words
    ids = tokenizer(f"this {said} .")["input_ids"]
    claim = SimpleNamespace(sid=4, tok_object=1, object=said, truth=[*true, true[0]])
    target = _target(claim, ids, tokenizer)
    assert target is not None
    assert (target.sid, target.position, target.said_id) == (4, 1, ids[1])
    assert list(target.true_ids) == tokenizer(" ".join(true))["input_ids"]
    assert _target(SimpleNamespace(sid=4, tok_object=0, object=said, truth=true), ids, tokenizer) is None


def test_what_is_read_are_the_first_traces_of_the_headlines_questions(study: Study) -> None:
    arm = study.settings.contrast.after
    inputs = question_inputs(study, arm, task_of(study), load_tokenizer(checkpoint_folder(study, arm)))
    assert [q.qid for q in inputs] == list(study.questions("clinical").qid)
    limit = study.settings.reading.traces_per_question
    assert {trace.cid for q in inputs for trace in q.traces} == set(range(limit))
    steps = study.steps(arm)
    index = study.activations(arm).frame()
    read = steps[(steps.cid < limit) & steps.qid.isin([q.qid for q in inputs])]
    assert len(index) == len(read)
    for q in inputs:
        for trace in q.traces:
            assert all(
                place == end - 1 for place, (_, end) in zip(trace.positions["end"], trace.steps, strict=True)
            )


def test_the_folder_says_what_was_read_and_what_was_left_out(study: Study) -> None:
    arm = study.settings.contrast.before
    told = json.loads((study.reading_path(arm) / "reading.json").read_text())
    assert told["traces"] == len(study.signals(arm))
    assert told["skipped"] == []
