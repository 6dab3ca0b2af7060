"""Technical prose and code that any installation carries: chunks of installed packages' source files.

Files are read, never imported.
"""

import ast
import hashlib
import importlib.util
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from curation_gym.console import progress
from curation_gym.pools.common import code_versions
from curation_gym.pools.storage import PoolError

PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "torch": "torch",
    "gymnasium": "gymnasium",
    "stable_baselines3": "stable-baselines3",
    "transformers": "transformers",
    "datasets": "datasets",
}
"""Module → distribution: this library's own dependencies that carry enough text."""
KINDS = ("explanation", "reference", "example", "code")
"""Paragraphs; lists of parameters, returns or attributes; doctests; functions without their docstring."""
CHARACTERS = (200, 1200)
PER_PACKAGE = 400
_REFERENCE_SECTIONS = frozenset(
    ("Parameters", "Other Parameters", "Returns", "Yields", "Raises", "Attributes", "Methods", "Args")
)

DANGEROUS = (
    "eval", "exec", "compile", "__import__", "importlib.import_module",
    "os.system", "os.popen", "os.exec*", "os.spawn*", "os.fork", "os.kill", "subprocess.*",
    "os.remove", "os.unlink", "os.rmdir", "shutil.rmtree", "multiprocessing.Process", "ctypes.*",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "joblib.load",
    "torch.load", "socket.socket", "urllib.request.*",
)  # fmt: skip
"""Calls that run code or programs, read memory, unpickle, delete files or open connections, by the full name
that the file's imports give them; ``*`` stands for anything."""
_IS_DANGEROUS = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in DANGEROUS))
_MENTIONS_DANGER = re.compile(rb"\b(subprocess|ctypes|pickle|marshal|eval\(|exec\(|rmtree|os\.(system|popen|remove))")


@dataclass(frozen=True)
class Chunk:
    """A piece of a source file.

    Attributes:
        text: of 200–1,200 characters.
        kind: of :data:`KINDS`.
        dangerous: whether it is code with a call of :data:`DANGEROUS`, by syntax tree.
        file: path, beginning with the module.
    """

    text: str
    kind: str
    dangerous: bool
    file: str

    @property
    def package(self) -> str:
        """The module that carries the file."""
        return self.file.split("/", 1)[0]


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of the distributions that carry these modules.

    Raises:
        PoolError: for a module that isn't one of :data:`PACKAGES`.
    """
    for module in packages:
        if module not in PACKAGES:
            raise PoolError(f"packages must be of {', '.join(PACKAGES)}, actual value: {module!r}")
    return code_versions(*(PACKAGES[module] for module in packages))


def read_packages(packages: Sequence[str] = tuple(PACKAGES), per_package: int = PER_PACKAGE) -> list[Chunk]:
    """Chunks of installed packages, package after package, without duplicates.

    Args:
        packages: modules, of :data:`PACKAGES`.
        per_package: most chunks of a package; a quarter for each kind. Dangerous code is rare, so half of the quota
            of code is reserved for it where there is as much.

    Raises:
        PoolError: when a package isn't installed or carries fewer than 20 chunks.
    """
    chunks: dict[str, Chunk] = {}
    for module in progress(packages, "reading packages"):
        found = [chunk for chunk in _chunks(module, per_package) if chunk.text not in chunks]
        if len(found) < 20:
            raise PoolError(f"package {module!r} carries only {len(found)} chunks of text; leave it out of packages")
        chunks |= {chunk.text: chunk for chunk in found}
    return list(chunks.values())


def _chunks(module: str, limit: int) -> list[Chunk]:
    """At most ``limit`` chunks of a package, chosen by hash, not by the order of files."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise PoolError(f"package {module!r} is not installed; leave it out of packages")
    root = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, Chunk] = {}
    for path in _files(root, n=limit // 8):
        name = f"{module}/{path.relative_to(root).as_posix()}"
        for chunk in _read(path.read_text(encoding="utf-8", errors="replace"), name):
            found.setdefault(chunk.text, chunk)
    ordered = sorted(found.values(), key=lambda chunk: hashlib.blake2b(chunk.text.encode()).digest())
    quota = limit // len(KINDS)
    chosen: list[Chunk] = [chunk for chunk in ordered if chunk.dangerous][: quota // 2]
    n_dangerous = len(chosen)
    for kind in KINDS:
        room = quota - (n_dangerous if kind == "code" else 0)
        chosen += [chunk for chunk in ordered if chunk.kind == kind and not chunk.dangerous][:room]
    return chosen


def _files(root: Path, n: int) -> list[Path]:
    """``n`` source files by hash of their path, and as many of those that mention something dangerous."""
    files = [
        path
        for path in root.rglob("*.py")
        if not {"tests", "test", "testing", "_vendor"} & set(path.relative_to(root).parts)
    ]
    files.sort(key=lambda path: hashlib.blake2b(path.relative_to(root).as_posix().encode()).digest())
    mentioning = (path for path in files[n:] if _MENTIONS_DANGER.search(path.read_bytes()))
    return files[:n] + [path for path, _ in zip(mentioning, range(n), strict=False)]


def _read(source: str, file: str) -> Iterator[Chunk]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return  # a template or code for another Python: not text of this kind
    lines = source.splitlines(keepends=True)
    statements = list(_statements(tree))
    names = _imported_names(statements)
    for node in (tree, *statements):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for kind, text in _documentation(ast.get_docstring(node) or ""):
                yield Chunk(text, kind, False, file)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(node, lines, names, file)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement beneath ``node``; expressions, which are most of a tree, are not entered."""
    for block in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.stmt):
                yield child
            yield from _statements(child)


def _documentation(docstring: str) -> Iterator[tuple[str, str]]:
    """Cut a docstring into chunks of one kind, joining paragraphs that are too short alone."""
    section = ""
    blocks: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n", docstring):
        title = re.match(r"(?P<name>[A-Z][\w ]+)\n-{3,}\n?|(?P<google>[A-Z]\w+):\n", block)
        if title:
            section = title["name"] or title["google"]
            block = block[title.end() :]
        blocks.append((_kind(block, section), block.strip("\n")))
    for kind, group in groupby(blocks, key=lambda pair: pair[0]):
        text = ""
        for _, block in group:
            if text and len(text) + 2 + len(block) > CHARACTERS[1]:
                break
            text = f"{text}\n\n{block}" if text else block
        text = textwrap.dedent(text).strip()
        if CHARACTERS[0] <= len(text) <= CHARACTERS[1]:
            yield kind, text


def _kind(block: str, section: str) -> str:
    if ">>>" in block:
        return "example"
    if section in _REFERENCE_SECTIONS or re.match(r"\s*(:param|[`*]*\w+[`*]*\s?(\(.*\))?\s?:\s)", block):
        return "reference"
    return "explanation"


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], names: dict[str, str], file: str
) -> Iterator[Chunk]:
    """The function without its docstring, up to the last whole statement that fits."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if not body:
        return
    head = "".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
    start = body[0].lineno - 1
    text, included = "", 0
    for statement in body:
        longer = head + "".join(lines[start : statement.end_lineno])
        if len(longer) > CHARACTERS[1]:
            break
        text, included = longer, included + 1
    text = textwrap.dedent(text).strip()
    if len(text) >= CHARACTERS[0]:
        yield Chunk(text, "code", any(_is_dangerous(statement, names) for statement in body[:included]), file)


def _imported_names(statements: list[ast.stmt]) -> dict[str, str]:
    """Local name → full dotted name, for every import anywhere in the file."""
    names = {}
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                names[alias.asname or package] = alias.name if alias.asname else package
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_dangerous(statement: ast.stmt, names: dict[str, str]) -> bool:
    return any(
        isinstance(node, ast.Call) and _IS_DANGEROUS.fullmatch(_full_name(node.func, names)) is not None
        for node in ast.walk(statement)
    )


def _full_name(function: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    return ".".join([names.get(function.id, function.id), *reversed(parts)])
