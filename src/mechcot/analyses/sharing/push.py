"""A study's cards, tables and trained model put onto the Hugging Face Hub, by the Hub's own client.

Private unless asked. Files that are there already and did not change are not sent again. The token is
read as the client reads it and is in no message: what the Hub answers is searched for it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mechcot.core.errors import HubError, UsageError, printable
from mechcot.core.words import aligned, counted, plain_signs

if TYPE_CHECKING:
    from mechcot.study.folder import Study

Kind = Literal["dataset", "model"]
KINDS: tuple[Kind, ...] = ("dataset", "model")
README, STEPS = "README.md", "steps.jsonl"
_NAME = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_KEEP_OUT = {README, "training_args.bin"}
"""Of a checkpoint's folder: a card of another tool's, and a pickle with the trainer's local paths."""


@dataclass(frozen=True)
class Parcel:
    """What goes into one repository.

    Attributes:
        kind: of the repository.
        files: by their path in it: a file of this machine, or the text of one.
    """

    kind: Kind
    files: Mapping[str, Path | str]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(what.encode()) if isinstance(what, str) else what.stat().st_size
            for name, what in self.files.items()
        }


def check_name(name: str) -> None:
    """Refuse what is no name of a repository, before anything is read.

    Raises:
        UsageError: it is not OWNER/NAME as the Hub takes it.
    """
    owner, slash, own = name.partition("/")
    parts = (owner, own)
    good = all(_NAME.fullmatch(one) and "--" not in one and ".." not in one for one in parts)
    if not slash or not good or own.endswith(".git"):
        raise UsageError(
            f"--push takes OWNER/NAME, for example jane/distilled-study; got '{name}'. Owner and name hold "
            "letters, digits, '-', '_' and '.', begin and end with a letter, digit or '_', hold no '--' and "
            "no '..', and have 96 characters at most"
        )


def check_access() -> None:
    """Refuse to go on where nothing can be sent.

    Raises:
        UsageError: no client, offline by setting, or no token.
    """
    _client()
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UsageError(
            "the environment says that the Hub is not to be asked (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE); "
            "unset it to push: env -u HF_HUB_OFFLINE -u TRANSFORMERS_OFFLINE mechcot export ..."
        )
    if not token():
        raise UsageError(
            f"no token for {constants.ENDPOINT} is set. Make one with write access "
            f"({constants.ENDPOINT}/settings/tokens), then set HF_TOKEN or run: hf auth login"
        )


def token() -> str | None:
    """The token that the Hub's client would use: HF_TOKEN, or that of its login."""
    return _safely(lambda: _client().get_token(), None, "the token of the Hub cannot be read")


def parcels(
    study: Study, kinds: Sequence[str] = (), rows: Sequence[Mapping[str, Any]] | None = None
) -> tuple[Parcel, ...]:
    """What would go up: the data set (card and tables), and the model after where the study trained it.

    Args:
        study: finished.
        kinds: `dataset`, `model`; all that there is by default.
        rows: step labels for `steps.jsonl` beside the tables.

    Raises:
        UsageError: a kind that there is not.
        StudyError: the study is not finished, or a file is another than was recorded.
    """
    from mechcot.analyses.sharing.card import Told, data_card, model_card, tables_of

    told, after = Told.of(study, STEPS if rows is not None else None), study.settings.contrast.after
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--kind: there is no kind '{kind}'; there are {', '.join(KINDS)}")
    trained = study.settings.arms[after].distill is not None
    if "model" in kinds and not trained:
        raise UsageError(
            f"--kind model: the study did not train {after}, and pushes only what it made; its tables go up "
            "with --kind dataset, and a card for the model is written by --card DIR"
        )
    made: list[Parcel] = []
    if not kinds or "dataset" in kinds:
        tables = {file: study.checked(study.path / file) for file in tables_of(told).values()}
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows or ())
        labels = {STEPS: lines} if rows is not None else {}
        made.append(Parcel("dataset", {README: data_card(told), **tables, **labels}))
    if trained and (not kinds or "model" in kinds):
        folder = study.checked(study.path / "models" / after)
        inside = ((file.relative_to(folder).as_posix(), file) for file in sorted(folder.rglob("*")))
        weights = {
            name: file
            for name, file in inside
            if file.is_file() and not name.startswith(".") and name not in _KEEP_OUT
        }
        made.append(Parcel("model", {README: model_card(told), **weights}))
    return tuple(made)


def listing(name: str, parcel: Parcel, *, public: bool = False) -> str:
    """What a parcel holds, file by file, with its sizes."""
    sizes = parcel.sizes
    total = f"{counted(len(sizes), 'file')}, {_size(sum(sizes.values()))}"
    head = f"{parcel.kind} {name} ({'public' if public else 'private'} where it is new): {total}"
    return "\n".join([plain_signs(head), *aligned([(f"  {file}", _size(n)) for file, n in sizes.items()])])


def _size(n: int) -> str:
    """Bytes for people: 812 bytes, 4.1 kB, 16.4 GB."""
    for unit, digits in (("GB", 9), ("MB", 6), ("kB", 3)):
        if n >= 10**digits:
            return f"{n / 10**digits:,.1f} {unit}"
    return f"{n} bytes"


def push(name: str, parcel: Parcel, *, public: bool = False) -> str:
    """Make the repository where it is not there yet, and send what is not in it.

    Args:
        name: OWNER/NAME.
        parcel: what goes into it.
        public: everybody may read it. One that is there stays as it is: a public one is refused
            unless it is asked for.

    Returns:
        Its address, and whether it is private, in words.

    Raises:
        UsageError: nothing can be sent from here, or the repository is public and was not asked to be.
        HubError: the Hub refused, or did not answer.
    """
    check_name(name)
    check_access()
    secret = token()
    what = f"{name} ({parcel.kind})"
    api = _client().HfApi(token=secret)
    at = {"repo_id": name, "repo_type": parcel.kind}
    url = _safely(lambda: api.create_repo(**at, private=not public, exist_ok=True), secret, what)
    private = bool(_safely(lambda: api.repo_info(**at), secret, what).private)
    if not private and not public:
        raise UsageError(
            f"{what} is on the Hub already and public; nothing was sent. Add --public to put it there for "
            "everybody to read, name another repository, or make that one private in its settings"
        )
    with tempfile.TemporaryDirectory(prefix="mechcot-push-") as folder, _quiet():
        _lay_out(Path(folder), parcel)
        _safely(
            lambda: api.upload_folder(
                **at,
                folder_path=folder,
                commit_message=f"Upload {parcel.kind} by mechcot",
            ),
            secret,
            what,
        )
    return f"{url} ({'private' if private else 'public'})"


def _lay_out(folder: Path, parcel: Parcel) -> None:
    """The files of a parcel under one folder, without copying the large ones."""
    for name, what in parcel.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            path.write_text(what, encoding="utf-8")
        else:
            path.symlink_to(what.resolve())


def _client() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise UsageError(
            "huggingface_hub is not installed. Install it with: pip install huggingface_hub"
        ) from None
    return huggingface_hub


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the client's bars where nobody sees them, and without its remarks on what a card lacks."""
    utils: Any = import_module("huggingface_hub.utils")  # mypy: it exports these without saying so
    unseen = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if unseen:
            utils.disable_progress_bars()
        try:
            yield
        finally:
            if unseen:
                utils.enable_progress_bars()


def _safely(ask: Callable[[], Any], secret: str | None, what: str) -> Any:
    """What the client gives; its errors as one message, without the token and the request that has it.

    Raises:
        HubError: with what the Hub said, and what to do.
    """
    from mechcot.asking.redaction import redactor

    try:
        return ask()
    except Exception as error:
        told = _told(error, redactor(secret))
    # Outside of `except`: the client's error holds its request, and that the token.
    raise HubError(f"{what}: {told}")


_ADVICE = {
    401: "the Hub does not take this token (401). Make another, with write access, and set HF_TOKEN or run: "
    "hf auth login",
    403: "this token may not write there (403). It needs write access, and you the right to write under "
    "that owner",
    404: "there is no such place on the Hub, or this token may not see it (404). Check OWNER/NAME",
    409: "somebody else changed it at the same time, or the name is taken (409). Run the same command again, "
    "or name another",
    413: "the Hub takes no file of that size (413)",
    429: "the Hub was asked too often (429). Wait, then run the same command again: what is there is not "
    "sent twice",
}


def _told(error: Exception, redact: Callable[[str], str]) -> str:
    """An error of the client in words: what happened, what the Hub said, what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            advice = _ADVICE.get(status, f"the Hub answered {status}. Run the same command again later")
            message = _line(redact(cause.server_message or ""))
            return f"{advice}. The Hub says: {message}" if message else advice
    said = "; ".join(f"{type(one).__name__}: {_line(redact(str(one)))}".removesuffix(": ") for one in causes)
    if any(_no_answer(one) for one in causes):
        return (
            f"{constants.ENDPOINT} did not answer ({said}). Check the network, then run the same command "
            "again: what is there is not sent twice"
        )
    return said


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it says it comes from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _line(text: str) -> str:
    """A text as a line of at most 300 printable characters."""
    line = printable(text)
    return line if len(line) <= 300 else f"{line[:300]}..."


def _no_answer(error: BaseException) -> bool:
    """Whether no reply came: no network, no such host, a connection that broke, a time-out.

    By name: which library the client asks with differs between its versions.
    """
    named = any(one.__name__ == "TransportError" for one in type(error).__mro__)
    return named or isinstance(error, ConnectionError | TimeoutError)
