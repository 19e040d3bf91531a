"""What the documentation's site has beside the pages of docs/; mkdocs calls these functions (mkdocs.yml).

Notebooks become pages with the outputs that they were committed with, every room of src/mechcot gets a page
of its public names, the example files and the changelog are taken along. In docs/ links lead where the files
lie in the repository; here to what stands for them on the site, or nowhere where the site has none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "mechcot"
ROOMS = (
    "study", "probe", "commitment", "stats", "steps", "tasks", "models", "reading", "sampling", "distill",
    "judging", "asking", "report", "analyses", "pipeline", "core",
)  # fmt: skip
"""Rooms of the reference, those that a user calls first."""
ELSEWHERE = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]+)\)")
"""A link to a file that lies outside docs/."""


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: notebooks, the reference, examples, the changelog."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for path, content in _pages_of(notebook):
            files.append(File.generated(config, path, content=content))
    for path, content in _reference():
        files.append(File.generated(config, path, content=content))
    for example in sorted((ROOT / "examples").rglob("*.yaml")):
        path = example.relative_to(ROOT).as_posix()
        files.append(File.generated(config, path, content=example.read_text(encoding="utf-8")))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changes))
    return files


def on_config(config: Any) -> Any:
    """Put the pages of the reference where the navigation says `api/`."""
    config.nav = [
        {"API": [path for path, _ in _reference()]} if entry == {"API": "api/"} else entry
        for entry in config.nav
    ]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to files outside docs/ as the site has them."""
    if page.file.src_uri == "changelog.md":
        return re.sub(r"\]\(docs/", "](", markdown)
    up = "../" * page.file.src_uri.count("/")

    def there(found: re.Match[str]) -> str:
        text, target = found[1], found[2].removeprefix("../")
        if target.startswith("docs/"):  # from a notebook
            return f"[{text}]({up}{target.removeprefix('docs/')})"
        target = re.sub(r"^(notebooks/.*)\.ipynb$", r"\1.md", target)
        return f"[{text}]({up}{target})" if target.startswith(("notebooks/", "examples/")) else text

    return ELSEWHERE.sub(there, markdown)


def _pages_of(notebook: Path) -> Iterator[tuple[str, str | bytes]]:
    """A notebook as Markdown, and the pictures in it as files beside it."""
    exporter = MarkdownExporter(config=Config({"NbConvertBase": {"display_data_priority": _PRIORITY}}))
    resources = {"output_files_dir": notebook.stem, "unique_key": notebook.stem}
    body, found = exporter.from_notebook_node(nbformat.read(notebook, as_version=4), resources)
    yield f"notebooks/{notebook.stem}.md", body
    for name, content in found.get("outputs", {}).items():
        yield f"notebooks/{name}", content


_PRIORITY = ["image/svg+xml", "image/png", "text/html", "text/markdown", "text/plain"]
"""Of the forms in which a cell keeps one and the same thing, the first of these is shown."""


def _reference() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        folder = SOURCE / room
        modules = [name for name in _modules(folder) if _wanted(room, name)] if folder.is_dir() else []
        if modules:
            yield f"api/{room}.md", f"# mechcot.{room}\n\n" + "".join(map(_entry, modules))


def _entry(module: str) -> str:
    return f"::: {module}\n\n"


def _modules(folder: Path) -> Iterator[str]:
    """The modules of a room that have something public to say."""
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = any(
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and node.name[0] != "_"
            and ast.get_docstring(node)
            for node in tree.body
        )
        if public:
            place = path.relative_to(SOURCE.parent).with_suffix("")
            yield ".".join(place.parts).removesuffix(".__init__")


def _wanted(room: str, module: str) -> bool:
    """Of an analysis its numbers and their results; how its page is worded is nobody's interface."""
    if room != "analyses":
        return True
    return module.endswith((".analysis", "result", "registry", "form", ".certainty", ".scales", ".segments"))
