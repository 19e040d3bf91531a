"""What each kind of stage is expected to take: calls by counts, hours by the cost model (`load`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mechcot.asking.server_file import Server
from mechcot.core.judging_settings import instrument_of
from mechcot.core.teacher_settings import OWN_TEACHER
from mechcot.core.training_settings import DistillSettings, TrainSettings
from mechcot.pipeline.estimate import load
from mechcot.pipeline.estimate.on_processors import plain_rows
from mechcot.pipeline.estimate.result import Work
from mechcot.pipeline.estimate.sizes import Sizes
from mechcot.pipeline.estimate.timed import no_weights, served, timed
from mechcot.pipeline.estimate.weights import Weights, organism_weights, weights_of
from mechcot.steps.of_study import checkpoint_folder
from mechcot.study.folder import FURTHER

Row = Callable[[], Work]


def rows_of(sizes: Sizes) -> Mapping[str, Row]:
    """What each stage that is foretold takes, by its name."""
    study, settings = sizes.study, sizes.study.settings
    found: dict[str, Row] = dict(plain_rows(sizes))
    if settings.organism is not None:
        found["pretrain"] = partial(_pretraining, sizes)
    if settings.teacher is not None and settings.teacher.server is not None:
        found["teacher"] = partial(_teacher, sizes)
    for arm, own in settings.arms.items():
        if own.distill is not None and own.distill.at is None:
            found[f"distill-{arm}"] = partial(_training, sizes, arm, own.distill)
        if own.traces is None:
            found[f"sample-{arm}"] = partial(_sampling, sizes, arm)
            found[f"facts-{arm}"] = partial(_facts, sizes, arm)
        elif own.traces == OWN_TEACHER:
            found[f"given-{arm}"] = partial(_examined, sizes, arm)
    if settings.judge.kind == "llm":
        found["judge"] = partial(_judging, sizes, "judge", settings.judge.path or "")
    if settings.kinds.server is not None:
        found["step-kinds"] = partial(_judging, sizes, "step-kinds", settings.kinds.server)
    for file in settings.panel:
        found[FURTHER + instrument_of(file)] = partial(_judging, sizes, FURTHER + instrument_of(file), file)
    if settings.judge_controls is not None:
        from mechcot.pipeline.controls import control_stages

        for stage in control_stages(study, False):
            found[stage.name] = partial(_controls, sizes, stage.name)
    for author, reader in settings.readings():
        found[f"read-{author}-by-{reader}"] = partial(_reading, sizes, author, reader)
    if sizes.pair_read():
        found["probe"] = partial(_probe, sizes)
    return found


# --- weights ---------------------------------------------------------------------------------------


def weights_named(sizes: Sizes, arm: str) -> Weights | None:
    """The weights of an arm, or of the base that it is trained from."""
    settings = sizes.study.settings
    own = settings.arms[arm]
    base = own.distill.base if own.distill is not None else arm
    name = settings.arms[base].model or ""
    found = weights_of(checkpoint_folder(sizes.study, base), name)
    if found is None and settings.organism is not None and name == "organism":
        found = organism_weights(settings.organism, sizes.vocabulary())
    if found is not None:
        sizes.tell(f"parameters of {base}", found.parameters / 1e9, "1e9", found.source)
        if found.active != found.parameters:
            sizes.tell(f"parameters of {base} that a token meets", found.active / 1e9, "1e9", found.source)
    return found


def _pretraining(sizes: Sizes) -> Work:
    organism = sizes.study.settings.organism
    assert organism is not None
    rows = organism.fact_rows + organism.post_rows
    n, each = organism.pretrain_steps, sizes.corpus_tokens()
    weights = organism_weights(organism, sizes.vocabulary())
    of = load.training(
        weights, TrainSettings(batch_size=rows), tokens=n * each, rows=n * rows, context=each / rows
    )
    return timed(sizes, Work("pretrain", n, "optimiser steps", tokens_in=n * each), lambda item: of)


def _training(sizes: Sizes, arm: str, distill: DistillSettings) -> Work:
    stage, weights = f"distill-{arm}", weights_named(sizes, arm)
    rows = _examples(sizes, distill)
    seen = rows * distill.train.epochs
    each = sizes.prompt() + _completion(sizes, arm, distill)
    row = Work(stage, seen, "examples", tokens_in=seen * each)
    if weights is None:
        return no_weights(row)
    of = load.training(weights, distill.train, tokens=seen * each, rows=seen, context=each)
    disk = (2.0 if distill.train.dtype == "bfloat16" else 4.0) * weights.parameters
    return timed(sizes, row, lambda item: of, disk=disk)


def _completion(sizes: Sizes, arm: str, distill: DistillSettings) -> float:
    """Tokens of an example's completion: a chain, as long as the student's traces, or an answer alone."""
    own = sizes.study.settings.examples.get(distill.examples)
    if own is None or own.reasoning != "none" or own.by == "tokens":
        return sizes.trace(arm)
    return sizes.tell("tokens of an answer alone", 8, "tokens", "assumed")


def _examples(sizes: Sizes, distill: DistillSettings) -> float:
    settings = sizes.study.settings
    if settings.teacher is not None and settings.made_here(distill.examples):
        kept = sizes.tell("share of the teacher's chains that become examples", 0.9, "", "assumed")
        return sizes.teacher_questions() * settings.teacher.chains * kept
    if settings.organism is not None and settings.made_here(distill.examples):
        return sizes.tell("teacher's traces", settings.organism.teacher_traces, "examples", "the settings")
    from mechcot.core import records

    path = Path(distill.examples).expanduser()
    return sizes.tell(f"examples of {path.name}", len(records.read_any(path)), "examples", "counted")


def _sampling(sizes: Sizes, arm: str) -> Work:
    settings, stage = sizes.study.settings, f"sample-{arm}"
    sampling = settings.sampling_of(arm)
    questions, prompt = sizes.questions(), sizes.prompt()
    n, trace = questions * sampling.samples, min(sizes.trace(arm), sampling.max_new_tokens)
    if settings.arms[arm].server is not None:
        return _at_server(sizes, arm, stage, n, questions * prompt, n * trace)
    weights = weights_named(sizes, arm)
    row = Work(stage, n, "traces", tokens_in=questions * prompt, tokens_out=n * trace)
    if weights is None:
        return no_weights(row)
    more = sizes.tell("longest trace of a batch over the mean", 1.5, "", "assumed")

    def of(item: int) -> load.Load:
        return load.sampling(
            weights, item, rows=n, together=sampling.batch_rows, prompts=questions, prompt=prompt,
            trace=trace, longest=min(more * trace, sampling.max_new_tokens),
        )  # fmt: skip

    return timed(sizes, row, of, tasks=n / sampling.batch_rows)


_TOGETHER = 4096  # tokens of a pass where the settings leave them open


def _reading(sizes: Sizes, author: str, reader: str) -> Work:
    settings, stage = sizes.study.settings, f"read-{author}-by-{reader}"
    asked = settings.reading
    n = sizes.questions(settings.contrast.domain) * min(
        asked.traces_per_question, settings.sampling_of(author).samples
    )
    leads = len(asked.lead_ins)
    more = sizes.tell("tokens read for each token of prompt and trace", 1.2, "", "measured (docs/reading.md)")
    each = sizes.prompt() + sizes.trace(author)
    further = sizes.tell("tokens of a lead-in and an option", 8, "tokens", "assumed")
    branches = leads * sizes.steps(author) * further
    read = n * (each * more + branches) * (1 + asked.permutations)
    weights = weights_named(sizes, reader)
    row = Work(stage, n, "traces", tokens_in=read)
    if weights is None:
        return no_weights(row)
    places = len(asked.sites) * (weights.layers + 1 if asked.layers is None else len(asked.layers))
    rows = n * sizes.steps(author) * len(asked.rules)
    together = asked.max_tokens or _TOGETHER

    def of(item: int) -> load.Load:
        return load.reading(weights, item, tokens=read, context=each, together=together)

    disk = rows * places * weights.width * (2 if weights.parameters > 1e8 else 4)
    return timed(sizes, row, of, tasks=read / together, disk=disk)


def _facts(sizes: Sizes, arm: str) -> Work:
    weights, n = weights_named(sizes, arm), sizes.facts()
    each = sizes.tell("tokens of a fact, alone and in its place", *sizes.fitted("tokens of a fact"))
    row = Work(f"facts-{arm}", n, "facts", tokens_in=n * each)
    if weights is None:
        return no_weights(row)
    return timed(
        sizes,
        row,
        lambda item: load.reading(weights, item, tokens=n * each, context=each, together=_TOGETHER),
        tasks=n * each / _TOGETHER,
    )


def _probe(sizes: Sizes) -> Work:
    """Both arms' probes, by the operations that a fit takes here (`probe.cost`)."""
    from mechcot.analyses.probe.analysis import default_spec
    from mechcot.pipeline.plan import probe_cost

    study = sizes.study
    spec, settings = default_spec(study), study.settings
    weights = weights_named(sizes, settings.contrast.after)
    if weights is None:
        return no_weights(Work("probe", 2, "arms"))
    each = sizes.questions(settings.contrast.domain) * settings.reading.traces_per_question
    seconds = memory = fits = 0.0
    for arm in (settings.contrast.before, settings.contrast.after):
        steps = round(each * sizes.steps(arm))
        kept = weights.layers + 1 if settings.reading.layers is None else len(settings.reading.layers)
        sources, beside = kept * len(spec.rules), kept * (len(settings.reading.rules) - len(spec.rules))
        cost, n = probe_cost(
            spec, (steps, weights.width), sources, max(beside, 0), round(steps * 40), settings.seed
        )
        seconds, memory, fits = seconds + cost.seconds, max(memory, cost.bytes), fits + n
    return Work("probe", fits, "fits", seconds=seconds, memory=memory, bound=load.PRODUCTS, tasks=sources)


# --- servers ---------------------------------------------------------------------------------------


def _priced(
    sizes: Sizes, stage: str, server: Server, n: float, unit: str, calls: float, read: float, written: float
) -> Work:
    money = server.cost(round(read), round(written))
    reason = "" if money is not None else "its server file lacks price_in or price_out"
    row = Work(stage, n, unit, calls=calls, tokens_in=read, tokens_out=written, money=money, reason=reason)
    return served(sizes, row, server.concurrency)


def _at_server(sizes: Sizes, arm: str, stage: str, n: float, read: float, written: float) -> Work:
    from mechcot.pipeline.served import sampler_of

    sampling = sizes.study.settings.sampling_of(arm)
    server = sampler_of(sizes.study, arm, sampling)
    each = min(server.samples_per_request, sampling.samples)
    return _priced(sizes, stage, server, n, "traces", n / each, read * sampling.samples / each, written)


def _teacher(sizes: Sizes) -> Work:
    from mechcot.distill.teacher_file import read_teacher

    settings = sizes.study.settings.teacher
    assert settings is not None
    server = read_teacher(Path(settings.server or "").expanduser(), settings.attempts)
    each = sizes.tell("calls of the teacher for a right chain", 1.4, "calls", "assumed")
    n = sizes.teacher_questions()
    calls = n * min(settings.chains * each, settings.attempts)
    asked = _teacher_told(sizes)
    return _priced(
        sizes,
        "teacher",
        server,
        n,
        "questions",
        calls,
        calls * (sizes.prompt() + asked),
        calls * sizes.trace(),
    )


def _teacher_told(sizes: Sizes) -> float:
    """Tokens of the teacher's instructions."""
    from mechcot.distill.teacher import teacher_form
    from mechcot.tasks.registry import task_for

    settings = sizes.study.settings
    assert settings.teacher is not None
    told = teacher_form(settings.teacher, task_for(settings).format, settings.seed).words["system"]
    return sizes.tell(
        "tokens of the teacher's instructions", len(told) / 4, "tokens", "counted: characters / 4"
    )


def _examined(sizes: Sizes, arm: str) -> Work:
    from mechcot.distill.teacher_file import read_teacher

    study = sizes.study
    assert study.settings.teacher is not None
    n = sizes.questions() * study.settings.sampling.samples
    server = read_teacher(
        Path(study.settings.teacher.server or "").expanduser(), study.settings.sampling.samples
    )
    asked = _teacher_told(sizes)
    return _priced(
        sizes, f"given-{arm}", server, n, "traces", n, n * (sizes.prompt() + asked), n * sizes.trace()
    )


def _judging(sizes: Sizes, stage: str, file: str) -> Work:
    settings = sizes.study.settings
    n = sizes.questions() * sum(map(sizes.judged, settings.arms)) * sizes.steps()
    return _verdicts(sizes, stage, file, n, "steps", n)


def _verdicts(sizes: Sizes, stage: str, file: str, n: float, unit: str, calls: float) -> Work:
    from mechcot.judging.judge_file import judge_path, read_judge
    from mechcot.judging.prompt import system

    judge = read_judge(judge_path(file))
    told = sizes.tell(
        "tokens of a judge's instructions", len(system(judge)) / 4, "tokens", "counted: characters / 4"
    )
    step = sizes.tell("tokens of a step, with its marks", 60, "tokens", "assumed")
    reply = sizes.tell("tokens of a verdict with its reason", 60, "tokens", "assumed")
    return _priced(sizes, stage, judge, n, unit, calls, calls * (told + sizes.prompt() + step), calls * reply)


def _controls(sizes: Sizes, stage: str) -> Work:
    from mechcot.analyses.judge_controls.design import chosen
    from mechcot.pipeline.controls import judge_file

    settings = sizes.study.settings
    own, file = settings.judge_controls, judge_file(sizes.study)
    assert own is not None
    questions = min(own.questions or sizes.questions(), sizes.questions())
    steps = questions * 2 * own.traces * sizes.steps()
    n = len(chosen(own.only, settings.steps.segmenter))
    controls = sizes.tell("controls of the judge", n, "controls", "the settings")
    if file is None:
        return Work(stage, steps * controls, "items")
    sizes.tell(
        "calls of a control for each step of its sample", 1, "calls", "assumed: some ask more, some less"
    )
    return _verdicts(sizes, stage, file, steps * controls, "items", steps * controls)
