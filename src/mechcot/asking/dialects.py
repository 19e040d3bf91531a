"""How servers are told to hold a reply to a JSON schema. They differ, and some say yes and do nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]


def _json_schema(name: str, schema: Schema) -> dict[str, Any]:
    """OpenAI's: most servers have it."""
    held_to = {"name": name, "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": held_to}}


def _json_object_schema(name: str, schema: Schema) -> dict[str, Any]:
    """llama.cpp's and llama-cpp-python's, which refuses the other one."""
    return {"response_format": {"type": "json_object", "schema": schema}}


def _structured_outputs(name: str, schema: Schema) -> dict[str, Any]:
    """That of vLLM alone."""
    return {"structured_outputs": {"json": schema}}


def _guided_json(name: str, schema: Schema) -> dict[str, Any]:
    """That of vLLM before."""
    return {"guided_json": schema}


def _structural_tag(name: str, schema: Schema) -> dict[str, Any]:
    """That of SGLang."""
    tag = {"type": "json_schema", "json_schema": schema}
    return {"response_format": {"type": "structural_tag", "format": tag}}


def _json_object(name: str, schema: Schema) -> dict[str, Any]:
    """Any JSON object: the schema is not sent."""
    return {"response_format": {"type": "json_object"}}


def _none(name: str, schema: Schema) -> dict[str, Any]:
    """Nothing: the instructions alone ask for the form."""
    return {}


DIALECTS: dict[str, Callable[[str, Schema], dict[str, Any]]] = {
    "json_schema": _json_schema,
    "json_object+schema": _json_object_schema,
    "structured_outputs": _structured_outputs,
    "guided_json": _guided_json,
    "structural_tag": _structural_tag,
    "json_object": _json_object,
    "none": _none,
}
"""What a request gets beside its messages, from the form's name and its schema."""

WALK = ("json_schema", "json_object+schema", "structured_outputs", "guided_json", "structural_tag", "none")
"""What the start-up check tries, in order, for a file that asks for `json_schema`."""
