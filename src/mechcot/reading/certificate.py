"""Can a checkpoint be read truly? A few questions of its own words, read in every way and compared."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from mechcot.core.errors import MechcotError, UsageError, said
from mechcot.core.results import Result
from mechcot.core.settings import ArmSettings
from mechcot.core.words import aligned
from mechcot.models.checkpoint import Checkpoint, load
from mechcot.reading.inputs import QuestionInput
from mechcot.reading.sample import TRACE_TOKENS, sample_questions, token_ids
from mechcot.tasks.tokens import adds_bos

if TYPE_CHECKING:
    import torch

    from mechcot.models.anatomy import Anatomy

log = logging.getLogger(__name__)

SLOW = 1.5
"""From so many times the seconds of float32 on, a dtype is called slow."""

LONGEST_WINDOW = 512
"""Sliding windows of up to this many tokens are outgrown by the sample, and so are lengths at which rotary
factors change; wider ones would cost too much."""


@dataclass(frozen=True)
class Finding:
    """One line of a certificate.

    Attributes:
        name: what was compared.
        found: the largest difference, or the number counted; None: it could not be found out.
        allowed: the largest difference allowed, or the number expected; None where there is none.
        unit: of both.
        passed: whether it is within what is allowed.
        note: why it could not be found out, or what limits the finding; else "".
    """

    name: str
    found: float | None
    allowed: float | None
    unit: str
    passed: bool
    note: str = ""


@dataclass(frozen=True, repr=False)
class Certificate(Result):
    """Whether mechcot reads a checkpoint as the checkpoint itself computes.

    Attributes:
        model: the folder.
        architecture: class of the model.
        dtype: of its weights.
        device: where it ran.
        attention: its attention implementation.
        findings: line by line.
    """

    model: str
    architecture: str
    dtype: str
    device: str
    attention: str
    findings: tuple[Finding, ...]

    derived: ClassVar[tuple[str, ...]] = ("passed",)
    table: ClassVar[str] = "findings"

    @property
    def passed(self) -> bool:
        """Whether every finding passed."""
        return all(finding.passed for finding in self.findings)

    def __repr__(self) -> str:
        """One line."""
        n = sum(finding.passed for finding in self.findings)
        verdict = "PASS" if self.passed else "FAIL"
        return f"Certificate({self.architecture}, {self.dtype}: {verdict}, {n} of {len(self.findings)})"

    def text(self) -> str:
        """The table for a terminal, notes below it."""
        head = f"{self.model}\n{self.architecture}, {self.dtype}, {self.attention} attention, {self.device}"
        rows = [("check", "found", "allowed", "", "")]
        rows += [
            (f.name, _number(f.found), _number(f.allowed), f.unit, "PASS" if f.passed else "FAIL")
            for f in self.findings
        ]
        notes = [f"{f.name}: {f.note}" for f in self.findings if f.note]
        return "\n".join([head, "", *aligned(rows), *notes, "", "PASS" if self.passed else "FAIL"])


def check_model(
    folder: str | Path, *, device: str = "auto", dtype: str = "auto", progress: bool = False
) -> Certificate:
    """Compare the reading of a checkpoint with the checkpoint's own plain runs.

    A few questions are made of words of its vocabulary (the same ones each time), so nothing but the
    checkpoint is needed. Traces outgrow a sliding window of up to `LONGEST_WINDOW` tokens.

    Args:
        folder: the checkpoint's folder, or OWNER/NAME on the Hub.
        device: `cpu`, `cuda`, ... or `auto`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for the checkpoint's own.
        progress: whether to say how far it is.

    Returns:
        The findings: the reading against one run per text (forced answers, entropy and surprisal,
        activations at all sites), by prefix trees or, where the model cannot read them, text by text, with
        the reason; the final norm and head against the logits, texts that go on over a cache, as they are
        sampled, against passes without one, and the beginning-of-text tokens of a prompt. A model that
        cannot be read at all gets a failed finding with the reason.

    Raises:
        ModelError: the checkpoint cannot be loaded, or not to this device.
        UsageError: an unknown dtype.
        MissingDependency: torch or transformers are not installed.
    """
    try:
        settings = ArmSettings.model_validate({"model": str(folder), "dtype": dtype})
    except ValidationError as error:
        raise UsageError(f"dtype {dtype!r}: {error.errors()[0]['msg']}") from None
    log.info("loading %s", folder)
    return certify(load(settings, device=device), progress=progress)


def certify(checkpoint: Checkpoint, *, progress: bool = False) -> Certificate:
    """`check_model` for a checkpoint already loaded; it is left as it was."""
    from mechcot.models.devices import input_device
    from mechcot.models.tolerance import allowed_for

    model: Any = checkpoint.model
    weight = model.get_input_embeddings().weight
    allowed = allowed_for(weight.dtype)
    device = input_device(model)
    log.info("%s in %s on %s", type(model).__name__, _name(weight.dtype), device)
    if advice := dtype_advice(_name(weight.dtype), times_float32(weight.dtype, device)):
        log.warning(advice)
    try:
        questions = sample_questions(checkpoint, trace_tokens=_length(model))
    except MechcotError as error:
        findings = [Finding("questions of its own words", None, None, "", False, str(error))]
    else:
        findings = [
            *_reading(model, questions, allowed, progress),
            _continued(model, questions, allowed),
            _bos(checkpoint.tokenizer, questions),
        ]
    return Certificate(
        checkpoint.name,
        type(model).__name__,
        _name(weight.dtype),
        str(device),
        str(getattr(model.config, "_attn_implementation", None) or "own"),
        tuple(findings),
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def times_float32(dtype: torch.dtype, device: torch.device) -> float:
    """How many times as long as in float32 a product of matrices takes on a device, measured.

    Processors without instructions of their own for a short type compute it piece by piece.
    """
    import torch

    def seconds(kind: torch.dtype) -> float:
        states, weight = (torch.ones(n, 1024, dtype=kind, device=device) for n in (64, 1024))
        found = []
        for _ in range(4):
            started = time.perf_counter()
            float((states @ weight.T)[0, 0])
            found.append(time.perf_counter() - started)
        return min(found)

    with torch.inference_mode():
        return 1.0 if dtype == torch.float32 else seconds(dtype) / seconds(torch.float32)


def dtype_advice(dtype: str, times: float) -> str:
    """What to say of a dtype that takes so many times as long as float32; "" if it is not slow."""
    if times < SLOW:
        return ""
    return f"{dtype} is about {times:.0f} times slower than float32 here; --dtype float32 is faster"


def _length(model: Any) -> int:
    """Tokens of the longest trace: enough to outgrow a window, or a rotary turn, that is not too wide."""
    return max(TRACE_TOKENS, *(width + 16 for width in _widths(model) if width <= LONGEST_WINDOW))


def _widths(model: Any) -> Iterator[int]:
    from mechcot.models.rotary import turn_of

    config = model.config.get_text_config()
    turn = turn_of(config)
    yield int(getattr(config, "sliding_window", None) or 0)
    yield turn.at if turn is not None else 0


def _reading(model: Any, questions: Sequence[QuestionInput], allowed: float, progress: bool) -> list[Finding]:
    """How the reading compares with the model's own runs; that it cannot be run so is a finding too."""
    from mechcot.models.devices import out_of_memory

    try:
        return _compared(model, questions, allowed, progress)
    except MechcotError as error:
        why = str(error)
    except Exception as error:  # any way in which a model's own code refuses a mask or a cache
        if out_of_memory(error):
            why = f"the sample does not fit the memory: {error}; check it on a larger device"
        else:
            raised = f"the model's own code raised {type(error).__name__}: {error}"
            why = f"{raised}; layers that do not attend by a mask alone (ALiBi, state spaces) are such a case"
    return [Finding("reading", None, None, "", False, why)]


def _compared(
    model: Any, questions: Sequence[QuestionInput], allowed: float, progress: bool
) -> list[Finding]:
    from mechcot.core.sites import SITES
    from mechcot.models.anatomy import anatomy_of
    from mechcot.models.rotary import turn_of
    from mechcot.reading.selfcheck import COMPARED, TREES, best_way
    from mechcot.reading.spec import ReadingSpec, recipe_for
    from mechcot.study.manifest import STEP_RULES

    anatomy = anatomy_of(model)
    longest = max(len(q.prompt_ids) + len(t.token_ids) for q in questions for t in q.traces)
    wider = {window for window in anatomy.windows.values() if window and window >= longest}
    note = f"texts of up to {longest} tokens do not reach the window of {max(wider)}" if wider else ""
    turn = turn_of(anatomy.config)
    if turn is not None and turn.at >= longest:
        far = f"the {turn.at} positions beyond which its rotary factors change"
        note = f"{note} nor {far}" if note else f"texts of up to {longest} tokens do not reach {far}"
    sites = [site for site in SITES if _has(anatomy, site)]
    asked = recipe_for(anatomy, ReadingSpec(sites=sites, rules=STEP_RULES))
    recipe, report = best_way(model, questions, asked, progress=progress)
    way = "text" if recipe.alone else "tree"
    if recipe.alone:
        note = f"it is read text by text, which is slow: {report.why}"
    return [
        _difference(
            f"{way}: {compared.name}" if key in TREES else compared.name,
            report.differences[key],
            allowed,
            compared.unit,
            note if key == "forced" else "",
        )
        for key, compared in COMPARED.items()
    ]


def _continued(model: Any, questions: Sequence[QuestionInput], allowed: float) -> Finding:
    """How texts go on as the sampler has them go on: over a cache, against passes without one."""
    from mechcot.models.ways import STEPS, way_of

    name, unit = "cache of keys and values", "of the largest logit"
    texts = [[*q.prompt_ids, *t.token_ids[:-STEPS]] for q in questions for t in q.traces]
    try:
        found = way_of(model, [*texts, *(q.prompt_ids for q in questions)], STEPS)
    except Exception as error:  # whatever the model's own code raises
        return Finding(name, None, allowed, unit, False, said(error))
    if not found.why:
        return _difference(name, found.difference, allowed, unit)
    note = f"{found.why}. Every sampled token is a pass over its whole text, which is slow; readings are not"
    off = found.over_cache
    return Finding(name, off if off is not None and math.isfinite(off) else None, allowed, unit, False, note)


def _has(anatomy: Anatomy, site: str) -> bool:
    """Whether the blocks have a site under a known name; a mixer of states has no attention output."""
    from mechcot.models.anatomy import part_of

    try:
        return all(part_of(block, site) is not None for block in anatomy.blocks)
    except MechcotError:
        return False


def _bos(tokenizer: Any, questions: Sequence[QuestionInput]) -> Finding:
    """Prompts as mechcot renders them, against what tokenizer and template define."""
    bos, written = tokenizer.bos_token_id, 0
    counts = {_leading(question.prompt_ids, bos) for question in questions}
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": "a"}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        written = _leading(token_ids(tokenizer, text), bos)
    wanted = max(written, int(adds_bos(tokenizer)))
    note = "the tokenizer has no such token" if bos is None else ""
    passed = wanted <= 1 and counts == {wanted}
    return Finding(
        "beginning-of-text tokens", float(max(counts)), float(wanted), "at the start", passed, note
    )


def _leading(ids: Sequence[int], bos: int | None) -> int:
    return next((n for n, token in enumerate(ids) if token != bos), len(ids)) if bos is not None else 0


def _difference(name: str, found: float, allowed: float, unit: str, note: str = "") -> Finding:
    if not math.isfinite(found):
        return Finding(name, None, allowed, unit, False, "the difference is not finite")
    return Finding(name, found, allowed, unit, found <= allowed, note)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
