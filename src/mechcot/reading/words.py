"""How probable words are by themselves to a model: how often its training met them, as far as it can say."""

from __future__ import annotations

from collections.abc import Iterable

from mechcot.models.checkpoint import Checkpoint
from mechcot.reading.batch import unpack
from mechcot.reading.inputs import QuestionInput, TraceInput
from mechcot.reading.reader import plan_for, read
from mechcot.reading.sample import token_ids
from mechcot.reading.spec import ReadingSpec


def words_alone(checkpoint: Checkpoint, words: Iterable[str]) -> dict[str, float]:
    """Log-probability of each word with nothing before it but the token that opens a text, nats.

    Where a tokenizer has no such token the one that ends a text stands for it, as between the documents of
    a training text. All words are one reading, so beginnings that they share are computed once.

    Args:
        checkpoint: the model and its tokenizer.
        words: any texts; equal ones count once.

    Raises:
        ReadingError: the model cannot be read.
    """
    tokenizer = checkpoint.tokenizer
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    distinct = sorted(set(words))
    ids = [tuple(i for i in token_ids(tokenizer, word) if i != first) for word in distinct]
    traces = tuple(TraceInput("words", "words", n, own) for n, own in enumerate(ids) if own)
    if not traces:
        return dict.fromkeys(distinct, 0.0)
    question, spec = QuestionInput("words", (first,), traces), ReadingSpec(layers=(), rules=())
    plan = plan_for(checkpoint.model, (question,), spec)
    found = dict.fromkeys(distinct, 0.0)
    for batch in read(checkpoint.model, (question,), spec):
        for reading in unpack(plan, batch):
            found[distinct[reading.source.cid]] = -float(reading.surprisal.sum(dtype=float))
    return found
