from pathlib import Path

import pytest
import yaml

from mechcot.core import config
from mechcot.core.errors import ConfigError


def test_defaults_file_overrides_and_seed_have_this_order(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("sampling: {samples: 8, temperature: 0.5}\n")
    settings = config.resolve(file=file, overrides=("sampling.samples=3",), seed=7)
    assert settings.preset == "organism"
    assert settings.sampling.samples == 3
    assert settings.sampling.temperature == 0.5
    assert settings.sampling.max_new_tokens == 90  # the preset's
    assert settings.seed == 7
    assert settings.threads >= 1


def test_resolved_settings_resolve_to_themselves() -> None:
    settings = config.resolve(preset="organism-small")
    assert config.resolve(base=yaml.safe_load(config.to_yaml(settings))) == settings


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sampling.sample=3", "'sampling.sample' is no setting; there are: samples"),
        ('reading.lead_ins=["</think> answer "]', "'</think> answer ' stands twice among prompt.lead_in"),
        ("smapling.samples=3", "'smapling' is no setting"),
        ("arms.base.distil=x", "there are: model, distill"),
        ("sampling.samples=many", "sampling.samples"),
        ("sampling.samples=0", "sampling.samples"),
        ("contrast.after=nobody", "there is no arm 'nobody'"),
        ("controls.terse.after=nobody", "controls.terse.after"),
        ("arms.distilled.distill.base=terse", "is itself distilled"),
        ("judge.kind=table", "has a path"),
        ("contrast.after=base", "contrast: before and after are the same arm, 'base'"),
        ("prompt.question=hello", "{stem}"),
        ("prompt.option=hello", "option must hold the slot {text}"),
        ("prompt.answer_pattern='(?P<answer>['", "answer_pattern is no regular expression: unterminated"),
        ("sampling.temperature=.inf", "sampling.temperature"),
        ("seed=-1", "seed: Input should be greater"),
        ("seed=4294967296", "seed: Input should be less"),
        ('arms.base.model=""', "arms.base.model"),
        ("arms.distilled.distill.examples=''", "arms.distilled.distill.examples"),
        ("sampling=3", "--set sampling: is a number, and takes keys and values of samples, temp"),
        ("along=[1]", "along.0: Input should be less than 1 (it is 1)"),
        ("sampling.samples=null", "sampling.samples"),
        ("sampling", "key=value"),
        ("sampling.samples=[", "not YAML"),
    ],
)
def test_a_wrong_override_is_named_with_what_would_be_right(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(overrides=(override,))
    assert says in str(error.value)
    assert error.value.exit_code == 2


def test_a_settings_file_that_is_no_mapping_or_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    with pytest.raises(ConfigError, match=r"study\.yaml"):
        config.resolve(file=file)
    file.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="found a list"):
        config.resolve(file=file)
    file.write_text("a: [")
    with pytest.raises(ConfigError, match=r"study\.yaml: is not YAML: line 1: ") as error:
        config.resolve(file=file)
    assert "\n" not in str(error.value)
    file.write_text("sampling:\n\tsamples: 2\n")
    with pytest.raises(ConfigError, match="line 2: a tab stands there; indent with blanks"):
        config.resolve(file=file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "questions:\n  path: [a, b\narms:\n  base: {model: x}\n",
            "line 3: a list [...] is not closed, or a comma is missing in it (begun on ",
        ),
        ("a: b: c\n", "line 1: a second ': ' on a line"),
        ('prompt: "unterminated\n', "line 2: a quote is not closed (begun on line 1)"),
        ("seed: !!python/object:os.system x\n", "line 1: a value is marked with a tag (!)"),
        ("key: *nothing\n", "line 1: a text that begins with * stands in no quotes"),
        ("questions: {set: medqa}\n  arms: 3\n", "line 2: it is indented otherwise"),
        ("judge: {kind: llm, path: kimi\n", "line 2: a mapping {...} is not closed"),
        ("key: %x\n", "line 1: a text begins with a sign that YAML keeps for itself"),
        ("", "is empty. A settings file names at least one setting"),
        ("# nothing\n", "is empty"),
    ],
)
def test_broken_yaml_is_told_in_words(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.resolve(file=file)
    assert says in str(error.value)
    assert "'...'" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "judge=null",
            "--set judge: is null, and takes keys and values of kind, path, traces_per_question",
        ),
        ("judge=kimi", "--set judge: is a text, and takes keys and values of kind, path"),
        ("arms=null", "--set arms: is null, and takes names, each with keys and values of model,"),
        ("arms.base=x", "--set arms.base: is a text, and takes keys and values of model,"),
        ("contrast.before=nobody", "--set contrast.before: there is no arm 'nobody'; there are ['base'"),
        ("judge.kind=llm", "  judge: {kind: llm, path: kimi} "),
    ],
)
def test_a_section_that_is_none_says_its_keys(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve(overrides=(override,))
    assert says in str(error.value)


def test_a_key_written_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("seed: 1\nsampling: {samples: 2}\nseed: 2\n")
    with pytest.raises(ConfigError, match="line 3: the key 'seed' stands there already"):
        config.resolve(file=file)


def test_the_teacher_s_variants_need_the_organism(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "questions: {path: q.jsonl}\njudge: {kind: table, path: v.csv}\n"
        "arms: {base: {model: a}, distilled: {distill: {base: base, examples: rich}}}\n"
    )
    with pytest.raises(ConfigError, match=r"arms\.distilled\.distill\.examples: 'rich'.*organism"):
        config.resolve(file=file)


def test_questions_make_the_models_preset_and_need_a_judge(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    text = "questions: {path: q.jsonl}\narms: {base: {model: a}, distilled: {model: b}}\n"
    file.write_text(text)
    with pytest.raises(ConfigError, match="has no exact checker") as error:
        config.resolve(file=file)
    assert "\n  judge: {kind: llm, path: kimi} " in str(error.value)
    file.write_text(text + "judge: {kind: table, path: v.csv}\n")
    settings = config.resolve(file=file)
    assert settings.preset == "models"
    assert settings.organism is None


def test_an_arm_has_a_model_or_is_distilled() -> None:
    with pytest.raises(ConfigError, match="exactly one of `model`, `distill` and `traces`"):
        config.resolve(overrides=("arms.base.distill={base: base, examples: rich}",))


def test_changes_name_dotted_keys_with_old_and_new() -> None:
    a = config.resolve().model_dump(mode="json")
    b = config.resolve(overrides=("sampling.samples=3",)).model_dump(mode="json")
    assert config.changes(a, b) == [("sampling.samples", 16, 3)]


def test_train_settings_take_overrides() -> None:
    settings = config.train_settings(("epochs=3", "lora.rank=4"))
    assert settings.epochs == 3
    assert settings.lora is not None
    assert settings.lora.rank == 4
    with pytest.raises(ConfigError, match=r"'lora\.rnk' is no setting; there are: rank"):
        config.train_settings(("lora.rnk=4",))


def test_what_an_override_fills_in_is_not_missed() -> None:
    arms = "arms={base: {model: a/b}, distilled: {model: a/c}}"
    with pytest.raises(
        ConfigError, match=r"--set arms, --set questions\.set: questions: there is no set 'medqq'"
    ):
        config.resolve(preset="models", overrides=(arms, "questions.set=medqq"))


def test_a_problem_is_blamed_on_the_file_or_on_the_override_that_made_it() -> None:
    base = yaml.safe_load(config.to_yaml(config.resolve(preset="organism-small")))
    with pytest.raises(ConfigError, match=r"^--set sampling\.samples: Input should be greater"):
        config.resolve(base=base, overrides=("sampling.samples=0",), source="old/study.yaml")
    with pytest.raises(ConfigError, match=r"^--seed: seed: "):
        config.resolve(base=base, seed=-1, source="old/study.yaml")
    base["sampling"]["samples"] = 0
    with pytest.raises(ConfigError, match=r"^old/study\.yaml: sampling\.samples: "):
        config.resolve(base=base, overrides=("seed=3",), source="old/study.yaml")


def test_null_takes_a_control_or_an_arm_away() -> None:
    settings = config.resolve(overrides=("controls.chain=null",))
    assert "chain" not in settings.controls
    assert "terse" in settings.controls
    left = config.resolve(overrides=("controls.terse=null", "arms.terse=null"))
    assert "terse" not in left.arms
    with pytest.raises(ConfigError, match=r"--set arms\.terse: .*there is no arm 'terse'"):
        config.resolve(overrides=("arms.terse=null",))


HOSTILE = {
    "a list as a key": ("? [a, b]\n: c\n", "line 1: a key is a list"),
    "a mapping as a key": ("a: 1\n? {a: b}\n: c\n", "line 2: a key is a mapping"),
    "brackets": ("a: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
    "braces": ("{a: " * 20_000, "nested too deeply"),
    "a date that is none": ("seed: 2024-99-99", "not what it is marked as"),
    "a tag on another value": ("seed: !!bool sk-secret", "not what it is marked as"),
    "a tag of a program": (
        "seed: !!python/object/apply:os.system [sk-secret]",
        "line 1: a value is marked with a tag",
    ),
    "an alias of nothing": ("seed: *sk-secret", "line 1: a text that begins with"),
    "an open quote": ("seed: 'sk-secret", "line 1: a quote is not closed"),
    "a NUL": ("seed: \0", "not allowed"),
    "a number too long": (f"seed: {'9' * 5000}", "not what it is marked as"),
    "a key that is a number": ("1: 2", "1"),
    "a section of itself": ("organism: &a {organism: *a}", "organism"),
    "an arm of itself": ("arms: &a {base: *a}", "arms"),
    "half a surrogate pair": (
        'prompt: {question: "{stem} {options} \\ud800"}',
        r"prompt\.question: character 17",
    ),
    "a NUL in a text": ('prompt: {question: "{stem} {options} \\0"}', r"prompt\.question: character 17"),
    "a NUL in a name": ('controls: {"a\\0b": {after: terse}}', r"controls\.a.*character 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_settings_file_is_one_message_without_its_values(tmp_path: Path, case: str) -> None:
    text, words = HOSTILE[case]
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        config.resolve(file=file)
    assert "sk-secret" not in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("value", ["[" * 20_000, "2024-99-99", "{[a]: b}", "!!bool x"])
def test_a_hostile_override_is_one_message(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--set seed: the value .* is not YAML") as caught:
        config.resolve(overrides=(f"seed={value}",))
    assert len(str(caught.value)) < 300
