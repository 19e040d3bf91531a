"""Logs of Inspect: `.eval` (a zip of JSON files) and `.json`.

Source: Inspect's "Log Files" page and its classes EvalLog and EvalSample. Read are a sample's id, epoch,
input,
choices, target, messages, output, error, limit and attachments, and of the header the model and how it was
asked.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mechcot.core import files
from mechcot.core.errors import DataError, said
from mechcot.core.words import plain_signs
from mechcot.tasks.logs.form import Log, Sample, an_object, ended, joined, last_user, numbers, words_of

_ATTACHED = "attachment://"
_CONVERT = "inspect log convert FILE --to json --output-dir DIR"
_ASKED = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_new_tokens"}
_READ = ("input", "choices", "target", "messages", "output")
_KEPT = ("id", "epoch", *_READ, "error", "limit", "metadata")  # events may be a hundred times as much
_ZSTANDARD, _HEAD = 93, 30  # of a zip file: a kind of packing, and bytes before an entry's name
_LARGEST = 2**30  # bytes of one entry, unpacked: a sample of text is thousands of times smaller


def read_zip(path: Path) -> Log:
    """Read a log that is a zip of JSON files.

    Raises:
        DataError: it is no zip, an entry cannot be unpacked or is no JSON, it has no samples, or a sample is
            not as Inspect writes it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.namelist()
            head = next((name for name in ("header.json", "_journal/start.json") if name in listed), None)
            header = {} if head is None else _entry(archive, head, path)
            names = [name for name in listed if name.startswith("samples/") and name.endswith(".json")]
            if not names:
                raise DataError(
                    f"{path}: holds no samples (a log without them is made by --no-log-samples); it has "
                    f"{listed[:5]}. Run the evaluation again with samples in its log"
                )
            found = [(f"{path}, {plain_signs(name)}", _entry(archive, name, path)) for name in names]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path}: is not a zip file, as a log of Inspect is: {said(error)}. Name the .eval file itself, "
            "copied whole"
        ) from error
    return _log(path, header, found)


def read_json(path: Path) -> Log:
    """Read a log that is one JSON file.

    Raises:
        DataError: it is no JSON, has no samples, or a sample is not as Inspect writes it.
    """
    loaded = an_object(files.read_json(path), str(path), "the log")
    samples = loaded.get("samples")
    if not isinstance(samples, list) or not samples:
        raise DataError(f"{path}: holds no samples. Run the evaluation again with samples in its log")
    return _log(path, loaded, [(f"{path}, sample {n}", one) for n, one in enumerate(samples, start=1)])


def is_json_log(path: Path) -> bool:
    """Whether a JSON file is a log of Inspect, by its first characters."""
    with open(path, "rb") as source:
        head = source.read(4096).decode("utf-8", errors="replace")
    return '"status"' in head and '"eval"' in head and head.lstrip().startswith("{")


def _entry(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    size = archive.getinfo(name).file_size
    if size > _LARGEST:
        raise DataError(f"{path}, {name}: is {size:,} bytes unpacked, more than {_LARGEST:,}: no sample is")
    try:
        return json.loads(_unpacked(archive, name, size))
    except NotImplementedError as error:  # a compression that this Python does not have
        raise DataError(
            f"{path}, {name}: is packed in a way that Python {_python()} cannot open ({said(error)}). Write "
            f"the log as JSON ({_CONVERT}) and name that"
        ) from error
    except (ValueError, RecursionError, RuntimeError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}, {name}: is no JSON that can be read: {said(error)}") from error


def _unpacked(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """An entry's bytes. Inspect packs with Zstandard, which zipfile opens from Python 3.14 on only."""
    info = archive.getinfo(name)
    if info.compress_type != _ZSTANDARD:
        return archive.read(name)
    assert archive.fp is not None  # it is open
    archive.fp.seek(info.header_offset)
    head = archive.fp.read(_HEAD)
    names = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    archive.fp.seek(info.header_offset + len(head) + names)
    packed = pa.BufferReader(archive.fp.read(info.compress_size))
    data: bytes = pa.CompressedInputStream(packed, "zstd").read(size + 1)
    if len(data) != size or zlib.crc32(data) != info.CRC:
        raise ValueError("its checksum does not fit: the file is damaged")
    return data


def _python() -> str:
    import platform

    return ".".join(platform.python_version_tuple()[:2])


def _log(path: Path, header: Any, found: list[tuple[str, Any]]) -> Log:
    head = header if isinstance(header, Mapping) else {}
    told = head.get("eval") if isinstance(head.get("eval"), Mapping) else {}
    stated = numbers(dict(_stated(head)))
    samples = [_sample(where, one, stated) for where, one in found]
    return Log(str(path), "Inspect", str((told or {}).get("model") or ""), tuple(samples))


def _stated(header: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """How the model was asked: by the plan, which holds what was set, or else by the model's own settings."""
    for place, name in (("eval", "model_generate_config"), ("plan", "config")):
        part = header.get(place)
        config = part.get(name) if isinstance(part, Mapping) else None
        for key, ours in _ASKED.items():
            if isinstance(config, Mapping) and config.get(key) is not None:
                yield ours, config[key]


def _sample(where: str, value: Any, stated: Mapping[str, Any]) -> Sample:
    whole = an_object(value, where, "a sample")
    row = {name: whole[name] for name in _KEPT if name in whole}
    if "id" not in row or not isinstance(row.get("epoch"), int):
        raise DataError(
            f"{where}: has no id and epoch, as a sample of Inspect has; it has {sorted(whole)[:8]}"
        )
    attached = whole.get("attachments")
    row = {name: _attached(part, attached) if name in _READ else part for name, part in row.items()}
    text, reason, problem = _written(row)
    choices, target = row.get("choices"), row.get("target")
    given = row.get("input")
    return Sample(
        where=where,
        qid=str(row["id"]),
        cid=row["epoch"] - 1,
        text=text,
        finish_reason=reason,
        problem=problem,
        stem=given if isinstance(given, str) else last_user(given),
        options=choices or None,
        gold=_gold(where, target, several=not choices),
        prompt=last_user(row.get("messages")),
        stated=stated,
        source=row,
    )


def _gold(where: str, target: Any, *, several: bool) -> Any:
    """The target; a list of one is that one, and of open questions each of several is right."""
    if not isinstance(target, list):
        return None if target in (None, "") else target
    kept = [one for one in target if one not in (None, "")]
    if len(kept) > 1 and not several:
        raise DataError(
            f"{where}: {len(kept)} options are right ({kept}), and a question here has one. Leave it out of "
            "the evaluation, or name questions of your own (--questions)"
        )
    return kept[0] if len(kept) == 1 else kept or None


def _written(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the model wrote, how that ended, and why it is no trace."""
    problem = _stopped(row)
    output = row.get("output") if isinstance(row.get("output"), Mapping) else {}
    choices = (output or {}).get("choices") or []
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping) or not isinstance(choice.get("message"), Mapping):
        return "", "stop", problem or "the model wrote nothing"
    message = choice["message"]
    reason, odd = ended(choice.get("stop_reason"))
    if message.get("tool_calls"):
        odd = "the model called a tool: a trace is one completion"
    content = message.get("content")
    return joined(_reasoning(content), words_of(content)), reason, problem or odd


def _reasoning(content: Any) -> str | None:
    parts = content if isinstance(content, list) else []
    kept = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "reasoning"]
    return "\n\n".join(str(part.get("reasoning") or part.get("summary") or "") for part in kept) or None


def _stopped(row: Mapping[str, Any]) -> str:
    """Why a sample did not come to its end, or is more than one completion."""
    error = row.get("error")
    if error:
        message = error.get("message") if isinstance(error, Mapping) else error
        return f"it failed: {' '.join(str(message).split())[:120]}"
    limit = row.get("limit")
    if limit:
        kind = limit.get("type") if isinstance(limit, Mapping) else limit
        return f"it was stopped by the limit of {str(kind)[:40]}"
    messages = row.get("messages") if isinstance(row.get("messages"), list) else []
    made = [one for one in messages or [] if isinstance(one, Mapping) and one.get("source") == "generate"]
    if len(made) > 1:
        return f"the model wrote {len(made)} times in it: a trace is one completion"
    return ""


def _attached(value: Any, attachments: Any) -> Any:
    """A part of a sample with its attachments put back where they were taken out."""
    if not isinstance(attachments, Mapping) or not attachments:
        return value
    if isinstance(value, str) and value.startswith(_ATTACHED):
        return attachments.get(value.removeprefix(_ATTACHED), value)
    if isinstance(value, Mapping):
        return {key: _attached(inner, attachments) for key, inner in value.items()}
    if isinstance(value, list):
        return [_attached(inner, attachments) for inner in value]
    return value
