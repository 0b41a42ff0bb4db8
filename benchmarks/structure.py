"""How the package is built: sizes, overrides, tests of type, and the files that one fit enters.

The rules:

- Constructors: classes of `sfumato.__all__` whose signature has more than 12 parameters; `self`
  and `**kwargs` do not count.
- Overrides: methods and properties in the body of a class under `sfumato/estimators/` whose name a
  base class in this package defines with a concrete body. A body is concrete unless it is marked
  abstract or holds nothing but a docstring, `pass` or `...`, as empty hooks do. Names with double
  underscores do not count.
- Depth: classes of the package above one another on the longest path of bases, own class included.
- One fit: `MixtureVAE(hidden=(32,), recipe=Coupled(rounds=(1, 1)))`, two epochs on 300 rows of
  digits, in all threads. A file is entered at the first call of one of its functions during `fit`;
  module and class bodies do not count. A room is the first folder or file under `sfumato/`. A
  change is a first entry into another room than the one before. The first count leaves out files
  of `estimators/`, to which every fit returns; the second takes all files.
- Type tests: calls of `isinstance` or `issubclass` whose second argument names an estimator, or a
  base class of one, of `sfumato/estimators/`, or an estimator of scikit-learn. An estimator
  derives from `BaseEstimator` and has `fit`, so settings objects such as `Prior` do not count.
  Aliases are resolved; names of local variables are not.
- Code lines: lines with a token of Python; docstrings, comments and blank lines do not count.
- Identical blocks: distinct runs of at least 6 consecutive code lines that stand in more than one
  place, each as long as it can be; imports left out, indentation and comments ignored. A run whose
  copies number three counts once.
- Functions: code lines from `def` to the end, of methods and nested functions too.
"""

import argparse
import ast
import inspect
import io
import sys
import threading
import tokenize
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import combinations, pairwise
from pathlib import Path
from statistics import median
from types import FrameType, ModuleType, UnionType
from typing import Any, get_args

from sklearn.base import BaseEstimator

import sfumato
from benchmarks import results
from sfumato.data import load_data

PACKAGE = Path(sfumato.__file__).parent
MAX_ARGUMENTS = 12
BLOCK_LINES = 6
FIT_ROWS = 300
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


@dataclass(frozen=True)
class Source:
    """A file of the package."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(PACKAGE).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def module(self) -> ModuleType:
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return import_module(".".join(parts).removesuffix(".__init__"))

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def comments(self) -> dict[int, int]:
        """The column at which the comment of a line begins."""
        return {t.start[0]: t.start[1] for t in self.tokens if t.type == tokenize.COMMENT}

    @cached_property
    def docstrings(self) -> set[int]:
        owners = (ast.Module, ast.ClassDef, *FUNCTIONS)
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, owners)]
        return {line for node in nodes if _has_docstring(node) for line in _span(node.body[0])}

    @cached_property
    def code(self) -> dict[int, str]:
        """The code lines by number, without indentation and comments."""
        tokens = [token for token in self.tokens if token.type not in LAYOUT]
        numbers = {n for t in tokens for n in range(t.start[0], t.end[0] + 1)} - self.docstrings
        lines = self.text.splitlines()
        return {n: lines[n - 1][: self.comments.get(n)].strip() for n in sorted(numbers)}

    def line_kinds(self) -> Counter:
        """Count the lines by what they hold."""
        comments = set(self.comments) - set(self.code)
        kinds = Counter(code=len(self.code), docstring=len(self.docstrings), comment=len(comments))
        kinds["blank"] = len(self.text.splitlines()) - kinds.total()
        return kinds


def _span(node: Any) -> range:
    return range(node.lineno, node.end_lineno + 1)


def _is_constant(node: ast.stmt, kind: type) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant and isinstance(node.value.value, kind)


def _has_docstring(node: Any) -> bool:
    return bool(node.body) and _is_constant(node.body[0], str)


def sources(folder: str = "") -> list[Source]:
    """Return the package's files, or those of one of its folders."""
    return [Source(path) for path in sorted((PACKAGE / folder).rglob("*.py"))]


# Constructors


def argument_counts() -> dict[str, int]:
    """Return the number of arguments of every public constructor."""
    public = {name: getattr(sfumato, name) for name in sfumato.__all__}
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    return {name: len(_parameters(cls)) for name, cls in classes.items()}


def _parameters(cls: type) -> list[str]:
    signature = inspect.signature(cls.__init__)
    kept = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    return kept[1:]


# Classes


def classes(folder: str = "") -> dict[type, ast.ClassDef]:
    """Return the classes that the files of a folder define, each with its source."""
    return {
        getattr(source.module, node.name): node
        for source in sources(folder)
        if source.path.stem != "__main__"
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
    }


def overrides() -> list[tuple[str, str]]:
    """Return class and name of every override of concrete behaviour among the estimators."""
    nodes = classes()
    return [
        (cls.__name__, name)
        for cls, node in classes("estimators").items()
        for name in _methods(node)
        if any(_is_concrete(nodes[base], name) for base in cls.__mro__[1:] if base in nodes)
    ]


def _methods(node: ast.ClassDef) -> dict[str, Any]:
    """Return the methods and properties that are no special methods."""
    methods = [item for item in node.body if isinstance(item, FUNCTIONS)]
    return {item.name: item for item in methods if not item.name.startswith("__")}


def _is_concrete(node: ast.ClassDef, name: str) -> bool:
    method = _methods(node).get(name)
    if method is None or any("abstractmethod" in ast.unparse(d) for d in method.decorator_list):
        return False
    return not all(_is_empty(statement) for statement in method.body)


def _is_empty(statement: ast.stmt) -> bool:
    constant = _is_constant(statement, str) or _is_constant(statement, type(...))
    return constant or isinstance(statement, ast.Pass)


def longest_chain(cls: type) -> list[str]:
    """Return the longest path of bases in this package, the class itself first."""
    if cls.__module__.partition(".")[0] != "sfumato":
        return []
    return [cls.__name__, *max(map(longest_chain, cls.__bases__), key=len, default=[])]


# Type tests


def type_tests() -> Counter:
    """Count the tests of an estimator's type by file."""
    family = _estimator_family()
    return Counter(
        source.name
        for source in sources()
        for node in ast.walk(source.tree)
        if _is_type_test(node) and any(_is_estimator(k, family) for k in _named(source, node))
    )


def _estimator_family() -> set[type]:
    """Return the estimators of this package and those of their bases that it defines."""
    found = [cls for cls in classes("estimators") if _has_sklearn_fit(cls)]
    bases = {base for cls in found for base in cls.__mro__}
    return {base for base in bases if base.__module__.startswith("sfumato.estimators.")}


def _has_sklearn_fit(cls: type) -> bool:
    return issubclass(cls, BaseEstimator) and hasattr(cls, "fit")


def _is_estimator(kind: Any, family: set[type]) -> bool:
    if not isinstance(kind, type):
        return False
    from_sklearn = kind.__module__.startswith("sklearn.")
    return kind in family or (from_sklearn and _has_sklearn_fit(kind))


def _is_type_test(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return is_call and node.func.id in ("isinstance", "issubclass") and len(node.args) == 2


def _named(source: Source, call: Any) -> Iterator[Any]:
    """Yield the types that the second argument of a call names."""
    for node in ast.walk(call.args[1]):
        if isinstance(node, ast.Name):
            yield from _flat(_resolve(source, node.id))


def _resolve(source: Source, name: str) -> Any:
    """Return what a name stands for at the top of a file or by an import within a function."""
    if hasattr(source.module, name):
        return getattr(source.module, name)
    for node in ast.walk(source.tree):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if (alias.asname or alias.name) == name:
                return getattr(import_module(node.module or ""), alias.name, None)
    return None


def _flat(value: Any) -> Iterator[Any]:
    parts = get_args(value) if isinstance(value, UnionType) else value
    if isinstance(parts, tuple):
        for part in parts:
            yield from _flat(part)
    else:
        yield value


# One fit


def files_entered() -> list[str]:
    """Return the files that one fit enters, in the order of their first calls."""
    X = load_data("digits").X[:FIT_ROWS]
    estimator = _mixture_vae()
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        # Bodies of modules and classes are not optimised, those of functions are.
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            entered.setdefault(frame.f_code.co_filename)

    with warnings.catch_warnings(action="ignore"):
        _profiled(note, lambda: estimator.fit(X))
    paths = [Path(name) for name in entered]
    return [p.relative_to(PACKAGE).as_posix() for p in paths if p.is_relative_to(PACKAGE)]


def _mixture_vae() -> Any:
    recipe = sfumato.Coupled(rounds=(1, 1))
    trainer = sfumato.Trainer(max_epochs=2)
    return sfumato.MixtureVAE(hidden=(32,), recipe=recipe, random_state=0, trainer=trainer)


def _profiled(profile: Any, run: Any) -> None:
    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


def room_changes(files: list[str]) -> int:
    """Count the files that lie in another room than the one before."""
    rooms = [name.partition("/")[0] for name in files]
    return sum(a != b for a, b in pairwise(rooms))


# Blocks and functions


def identical_blocks() -> dict[tuple[str, ...], list[str]]:
    """Return the runs of lines that occur more than once, each with its places."""
    files = {source.name: _numbered(source) for source in sources()}
    windows = defaultdict(list)
    for name, lines in files.items():
        for i in range(len(lines) - BLOCK_LINES + 1):
            windows[tuple(text for _, text in lines[i : i + BLOCK_LINES])].append((name, i))
    blocks: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for places in windows.values():
        for (a, i), (b, j) in combinations(places, 2):
            # A pair whose previous lines are equal belongs to a run that began before.
            if not (i and j and files[a][i - 1][1] == files[b][j - 1][1]):
                run = _common(files[a][i:], files[b][j:])
                blocks[run] |= {f"{a}:{files[a][i][0]}", f"{b}:{files[b][j][0]}"}
    return {run: sorted(places) for run, places in blocks.items()}


def _numbered(source: Source) -> list[tuple[int, str]]:
    nodes = [node for node in ast.walk(source.tree) if isinstance(node, IMPORTS)]
    imports = {line for node in nodes for line in _span(node)}
    return [(n, text) for n, text in source.code.items() if n not in imports]


def _common(a: list[tuple[int, str]], b: list[tuple[int, str]]) -> tuple[str, ...]:
    """Return the lines that two lists begin with alike."""
    equal = []
    for (_, one), (_, other) in zip(a, b, strict=False):
        if one != other:
            break
        equal.append(one)
    return tuple(equal)


def function_lengths() -> dict[str, int]:
    """Return the code lines of every function by file, line and name."""
    return {
        f"{source.name}:{node.lineno} {node.name}": sum(n in source.code for n in _span(node))
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, FUNCTIONS)
    }


# The table


def constructor_rows() -> Iterator[list[object]]:
    counts = argument_counts()
    large = sorted((name for name in counts if counts[name] > MAX_ARGUMENTS), key=counts.get)
    names = ", ".join(f"{name} {counts[name]}" for name in reversed(large))
    yield [f"public constructors with more than {MAX_ARGUMENTS} arguments", len(large), names]


def class_rows() -> Iterator[list[object]]:
    found = overrides()
    by_class = _listed(Counter(cls for cls, _ in found))
    yield ["overrides of concrete behaviour among estimators", len(found), by_class]
    chain = max(map(longest_chain, classes()), key=len)
    yield ["deepest class", len(chain), " < ".join(chain)]
    tests = type_tests()
    yield ["type tests on estimators", tests.total(), _listed(tests)]


def _listed(counts: Counter) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def fit_rows() -> Iterator[list[object]]:
    files = files_entered()
    away = [name for name in files if not name.startswith("estimators/")]
    rooms = Counter(name.partition("/")[0] for name in files)
    yield ["files entered by one MixtureVAE.fit", len(files), _listed(rooms)]
    yield ["changes of room in it, estimators left out", room_changes(away), ""]
    yield ["changes of room in it, all files", room_changes(files), ""]


def size_rows() -> Iterator[list[object]]:
    kinds = sum((source.line_kinds() for source in sources("estimators")), Counter())
    yield ["lines in estimators/", kinds.total(), _listed(kinds)]
    blocks = identical_blocks()
    lengths = sorted(map(len, blocks), reverse=True)
    longest = f"lines: {', '.join(map(str, lengths))}" if blocks else ""
    yield [f"identical blocks of at least {BLOCK_LINES} lines", len(blocks), longest]
    files = {source.name: source.line_kinds().total() for source in sources()}
    yield ["longest file, lines", *_largest(files)]
    functions = function_lengths()
    yield ["longest function, code lines", *_largest(functions)]
    yield ["median function, code lines", median(functions.values()), f"of {len(functions)}"]


def _largest(sizes: dict[str, int]) -> tuple[int, str]:
    name = max(sizes, key=sizes.__getitem__)
    return sizes[name], name


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks structure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--blocks", action="store_true", help="print the identical blocks as well")
    options = parser.parse_args(arguments)
    rows = [*constructor_rows(), *class_rows(), *fit_rows(), *size_rows()]
    notes = (
        "Counted by reading the source, and the files and changes of room by one small fit, at "
        f"{results.commit()}. `python -m benchmarks structure --help` states the rules."
    )
    results.write("structure", ["figure", "value", "where"], rows, notes)
    for block, places in identical_blocks().items() if options.blocks else ():
        print(f"{len(block)} lines at {', '.join(places)}")
