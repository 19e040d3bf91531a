import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from mechcot.analyses.sections import findings_of, sections_of
from mechcot.core import files
from mechcot.core.manifest import FORMAT, save_manifest
from mechcot.core.words import first_sentence, signed
from mechcot.pipeline.report import write_report
from mechcot.report.frame import embedded
from mechcot.study.folder import Study
from report_cases import BASE, HOSTILE, LAYERS, RICH, TERSE, VERSIONS, Arm, Case, build, ordinary

VOID = {"meta", "br", "link", "img", "input", "hr", "base", "source", "embed"}
SECTIONS = [
    "changed", "planned", "origin", "gains", "controls", "sure", "commitment", "hedges", "doubt", "probe",
    "traces", "measured", "undone",
]  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, scripts, and the text of each section."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.scripts, self.text, self.section = [], [], [], {}, ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = attributes["id"]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        if tag in ("td", "th", "li"):
            self.text[self.section] += " "
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not (self.open and self.open[-1] == "style"):
            self.text[self.section] = self.text.get(self.section, "") + data

    def ids(self, kind):
        return [a["id"] for _, a in self.elements if a.get("class") == kind]

    def said(self, section):
        return " ".join(self.text[section].split())


def report(folder, case=None):
    study = build(folder, case)
    write_report(study, VERSIONS)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ordinary(tmp_path_factory)


@pytest.fixture(scope="module")
def page(study):
    return Page(study.report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Hostile text everywhere, and arms that change the other way round."""
    arms = {
        "base": Arm(0.9, 0.5, 0.4, RICH.kinds),
        "distilled": Arm(0.3, 0.1, 0.0, BASE.kinds),
        "terse": TERSE,
    }
    return report(tmp_path_factory.mktemp("hostile") / "s", Case(arms, hostile=True))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Nothing changes, the task reads no claims, and there are no controls and no traces to show."""
    arms = {"base": BASE, "distilled": dataclasses.replace(BASE, hedged=0.0), "terse": TERSE}
    overrides = ("analysis.traces_shown=0",)
    return report(tmp_path_factory.mktemp("bare") / "s", Case(arms, overrides, claims=False))


def test_the_page_is_an_argument_in_order_with_a_figure_a_part(page):
    assert [a["id"] for tag, a in page.elements if tag == "section"] == SECTIONS
    figures = json.loads(page.scripts[0])
    assert page.ids("plot") == [f"fig-{name}" for name in (
        "headline", "by_answers", "kinds", "split", "knowledge", "gains", "joined", "coupling", "controls",
        "ways", "curves", "settled-apart", "cross", "hedges", "hedge", "projection",
        "probe-distilled", "probe-base", "layers",
    )]  # fmt: skip
    assert {f"fig-{name}" for name in figures} == set(page.ids("plot"))
    for name, figure in figures.items():
        assert figure["data"], name
        assert "width" not in figure["layout"], name
        assert "text" not in figure["layout"].get("title", {}), name
    for section in SECTIONS[:-2]:
        assert page.said(section).count("What this does not show") == 1


def test_a_finding_is_one_sentence_and_what_is_more_is_folded(study):
    """Nobody reads twelve lines in bold; what is folded can still be searched, printed and read."""
    page = study.report.read_text(encoding="utf-8")
    first = [html.unescape(re.sub("<[^>]*>", "", one)).strip() for one in re.findall(
        r'<p class="sentence">(.+?)</p>', page)]  # fmt: skip
    assert len(first) > 20
    for sentence in first:
        assert first_sentence(sentence) == (sentence, "")
        assert len(sentence.split()) <= 60, sentence
    told = [part.sentence for section in sections_of(findings_of(study)) for part in section.parts]
    rest = [html.unescape(one) for one in re.findall(r"<summary>More</summary><p>(.+?)</p>", page)]
    assert {rest for _, rest in map(first_sentence, told) if rest} >= set(rest) > set()


def test_anchors_lead_somewhere_and_ids_are_given_once(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a for tag, a in page.elements if tag == "a"]
    sections = [a["href"] for a in links if a.get("class") != "anchor"]
    assert [link.removeprefix("#") for link in sections] == SECTIONS
    statements = [a["href"].removeprefix("#") for a in links if a.get("class") == "anchor"]
    assert statements == page.ids("part")  # every statement has an address of its own
    assert len(statements) > len(SECTIONS)


def test_nothing_is_fetched_and_only_the_pages_own_scripts_may_run(page, study):
    assert not [a for _, a in page.elements if "src" in a or "srcset" in a]
    assert "link" not in [tag for tag, _ in page.elements]
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    assert "http" not in policy
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert len(page.scripts) == 3
    for script, digest in zip(page.scripts[1:], allowed, strict=True):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == digest
    assert "url(" not in study.report.read_text(encoding="utf-8").split("</style>")[0]


def test_it_is_one_file_small_enough_to_mail(study):
    assert 1_500_000 < study.report.stat().st_size < 3_000_000
    scripts = Page(study.report.read_text()).scripts
    assert sum(script.count("plotly.js (cartesian - minified) v") for script in scripts) == 1


def test_the_same_tables_give_the_same_bytes_in_any_folder(study, tmp_path):
    again = report(tmp_path / "elsewhere")
    for name in ("summary.json", "report.html"):
        assert files.digest(study.path / name) == files.digest(again.path / name), name
    assert files.read_json(study.path / "summary.json") == again.summary()


def test_terms_are_said_in_plain_words_where_they_come_first(page, study):
    text = study.report.read_text(encoding="utf-8")
    for term in ("trace", "step", "95&nbsp;% intervals", "kind", "split", "margin", "control",
        "tipping point", "forced answer", "locked", "hedge", "layer", "AUROC", "probe", "entropy",
        "surprisal"):  # fmt: skip
        assert text.count(f"<dfn>{term}</dfn>") == 1, term
    body = text.split("</header>")[1]
    for term in ("AUROC", "entropy", "surprisal"):
        assert body.index(f"<dfn>{term}</dfn>") == body.index(term) - len("<dfn>"), term


def test_the_headline_says_what_its_intervals_say(page, hostile, bare):
    assert "right answers rise from" in page.said("changed")
    assert ", while wrong steps rise from" in page.said("changed")
    turned = Page(hostile.report.read_text())
    assert "right answers fall from" in turned.said("changed")
    assert ", while wrong steps fall from" in turned.said("changed")
    same = Page(bare.report.read_text())
    assert "right answers show no clear change" in same.said("changed")
    assert "and wrong steps show no clear change" in same.said("changed")
    assert same.said("").count("no clear change") == 3


def test_every_number_of_a_sentence_is_the_summarys(page, study):
    summary = study.summary()
    for arm in ("base", "distilled"):
        assert f"{100 * summary['answers'][arm]['sc']:.1f} %" in page.said("changed")
        assert f"{100 * summary['audit'][arm]['error_rate']:.1f} %" in page.said("changed")
        assert f"{100 * summary['commitment'][arm]['never_share']:.1f} %" in page.said("commitment")
        assert f"{summary['probe'][arm]['auroc']:.2f}" in page.said("probe")
    for term in summary["audit"]["split"].values():
        assert signed(100 * term) in page.said("origin")
    for name in ("knew", "forgot", "learned", "never_knew"):
        share = summary["knowledge"][name]
        assert f"{100 * share:.1f} %" in page.said("origin")
    assert f"{max(summary['hedge']['base']['auroc_by_layer']):.2f}" in page.said("doubt")


def test_traces_that_answer_no_option_are_counted_where_answers_are_first_named(page, study):
    shares = [100 * study.result("answers")[when]["share_no_answer"] for when in ("before", "after")]
    silent = f"{shares[0]:.1f} % of base’s traces, {shares[1]:.1f} % of distilled’s"
    assert silent in page.said("changed")


def test_controls_stand_in_the_settings_order_and_are_told_apart(page):
    said = page.said("controls")
    assert said.index("terse compares base with terse") < said.index("chain compares base with distilled")
    assert "in the control “terse” they fall by" in said


def test_hostile_text_stays_text(hostile):
    raw = hostile.report.read_text(encoding="utf-8")
    page = Page(raw)
    allowed = {
        "html", "head", "meta", "title", "style", "body", "header", "p", "h1", "span", "div", "h2", "h3",
        "h4", "nav", "a", "main", "noscript", "section", "figure", "figcaption", "aside", "dfn", "b", "br",
        "article", "ul", "li", "bdi", "table", "thead", "tbody", "tr", "th", "td", "i", "details",
        "summary", "script", "button", "dialog", "form",
    }  # fmt: skip
    assert {tag for tag, _ in page.elements} <= allowed
    assert len(page.scripts) == raw.count("<script") == raw.count("</script>") == 3
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    for text in HOSTILE:
        assert " ".join(text.split()) in page.said("traces")
    assert "<img" not in raw.replace("&lt;img", "")
    figures = json.loads(page.scripts[0])
    drawn = json.dumps(figures["kinds"], ensure_ascii=False)
    assert "&lt;!--" in drawn  # plotly reads its labels as HTML, so they are escaped for it
    assert "<!--" not in drawn


def test_json_for_a_script_element_cannot_end_it():
    value = {"a": "</script><!--<script>&\u2028\u2029", "b": [1.5, None]}
    text = embedded(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded({"a": float("nan")})


def test_what_has_only_a_reason_shows_it_and_no_empty_figure(bare):
    page = Page(bare.report.read_text())
    assert {"fig-hedge", "fig-projection", "fig-knowledge"}.isdisjoint(page.ids("plot"))
    assert "there are no claims in the steps of 'base'" in page.said("doubt")
    assert "does not know which objects would make a claim true" in page.said("origin")
    assert "What this does not show" not in page.said("doubt")
    assert "AUROC says how often" in page.said("probe")
    assert "No trace is shown" in page.said("traces")


def test_what_the_author_has_not_done_stands_in_one_box_at_the_end(page, bare):
    said = page.said("undone")
    for sentence in (
        "No other judge stands beside",
        "The judge was not put to the test",
        "No steps were judged by",
    ):
        assert sentence in said
        assert sentence not in page.said("sure")
    assert "Controls" not in said  # there are some
    assert "mechcot sheet draw STUDY makes one." in said
    assert [tag for tag, a in page.elements if tag == "dialog"] == ["dialog"]


def test_arms_in_which_nothing_is_judged_still_make_a_page(tmp_path):
    silent = Arm(0.5, 0.2, 0.3, ("plan", "plan"))
    study = report(tmp_path / "s", Case({"base": silent, "distilled": silent, "terse": silent}, questions=6))
    page = Page(study.report.read_text())
    assert "wrong steps cannot be compared (nothing to divide by before and after)" in page.said("changed")
    assert "no kind of step stands out" in page.said("origin")
    assert "The change cannot be taken apart" in page.said("origin")
    assert page.said("probe").count("no probe can be fitted") == 2
    for words in page.text.values():
        assert not re.search(r"\b(None|nan|inf)\b", words)


def test_forced_answers_without_a_result_are_a_reason_everywhere(bare, tmp_path):
    shutil.copytree(bare.path, tmp_path / "s")
    bare = Study.open(tmp_path / "s")
    files.write_json(bare.path / "results" / "commitment.json", {"reason": "no trace has an answer"})
    write_report(bare, VERSIONS)
    page = Page(bare.report.read_text())
    assert "no trace has an answer" in page.said("commitment")
    assert "fig-curves" not in page.ids("plot")
    for arm in ("base", "distilled"):
        assert bare.summary()["commitment"][arm]["never_share"]["reason"] == "no trace has an answer"


def test_the_last_section_holds_settings_versions_counts_and_exclusions(page, study):
    said = page.said("measured")
    for part in ("sampling.temperature 0.7", "analysis.folds 2", "torch 2", "seed 0", "ECE"):
        assert part in said
    judged = study.result("audit")
    assert (
        f"steps judged erroneous {judged['before']['n_erroneous']} {judged['after']['n_erroneous']}" in said
    )
    excluded = study.result("commitment")["arms"]["base"]["excluded"]["no_answer"]
    assert f"{excluded} without an answer" in said


def test_who_is_left_out_of_the_locks_is_said_beside_them(page, study):
    arms = study.result("commitment")["arms"]
    said = page.said("commitment")
    for name in ("base", "distilled"):
        left = sum(arms[name]["excluded"].values())
        assert f"{left:,} of {name}’s {arms[name]['n_traces'] + left:,} traces" in said


def test_the_probe_is_not_said_to_be_scored_on_new_entities_only(page):
    """Folds keep the right answer's entity together; a wrong option may be spoken of in several folds."""
    assert "entities that it was not fitted on" not in page.said("probe")
    assert "may be spoken of in both" in page.said("probe")


def test_answers_that_were_read_off_stand_apart(page, study):
    answers = study.result("answers")
    shares = [f"{100 * answers[arm]['answered_only']['sc']:.1f} %" for arm in ("before", "after")]
    said = page.said("measured").replace("\u00a0", " ")
    assert f"right answers by vote, traces with an answer alone {shares[0]} {shares[1]}" in said


def test_recorded_digests_are_listed_and_the_reports_own_is_not(study, tmp_path):
    shutil.copytree(study.path, tmp_path / "s")
    of_answers = files.digest(tmp_path / "s" / "results" / "answers.json")
    record = {"key": "", "version": 1, "settings": {}, "inputs": {}, "outside": {}}
    stages = {
        "answers": {**record, "outputs": {"results/answers.json": of_answers}, "seconds": 12.345},
        "report": {**record, "outputs": {"report.html": "cd" * 32}, "seconds": 1.0},
    }
    save_manifest(tmp_path / "s", {"format": FORMAT, "versions": {}, "stages": stages})
    write_report(Study.open(tmp_path / "s"), VERSIONS)
    said = Page((tmp_path / "s" / "report.html").read_text()).said("measured")
    assert f"results/answers.json {of_answers}" in said
    assert "cd" * 32 not in said
    assert "12.345" not in said


def test_layers_stand_on_the_axis_as_they_are(page):
    figure = json.loads(page.scripts[0])["hedge"]
    curve = next(trace for trace in figure["data"] if trace.get("hovertemplate"))
    assert curve["x"] == list(range(LAYERS))
