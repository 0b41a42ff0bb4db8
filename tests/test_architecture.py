"""The structure: who may import whom, where plotting and parsing live, what is public."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

SOURCE = Path(sfumato.__file__).parent
# The floors of the house, the lowest first: a room may import from every floor below its own, and
# nothing else of ours. The table of CONTRIBUTING.md says the same.
FLOORS = [
    [
        "distributions",
        "artifacts",
        "coupling",
        "metrics",
        "data",
        "noise",
        "checks",
        "deprecation",
        "scaling",
    ],
    ["storage"],
    ["nn"],
    ["likelihoods", "priors"],
    ["objectives"],
    ["models"],
    ["inference"],
    ["training", "partitions"],
    ["samplers", "estimators"],
    ["evaluation", "restoration"],
    ["report"],
    ["jobs"],
    ["cli"],
]


def below(floor):
    return {room_name for floor_below in FLOORS[:floor] for room_name in floor_below}


ALLOWED = {room_name: below(i) for i, floor in enumerate(FLOORS) for room_name in floor}
# Models of video stand on the models alone, beside all that is fitted to rows.
ALLOWED["video"] = {*ALLOWED["models"], "models"}
for room_name in ("report", "jobs", "cli"):
    ALLOWED[room_name] |= {"video"}
# The names of the package itself and its start from the command line are no room.
DOORS = [SOURCE / "__init__.py", SOURCE / "__main__.py"]
FILES = sorted(path for path in SOURCE.rglob("*.py") if path not in DOORS)


def imports(path):
    """Yield the dotted names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_of(name):
    """Return the rooms that an imported name takes in; the package as a whole has all its homes."""
    parts = name.split(".")
    if parts[0] != "sfumato" or parts[1:] == ["__version__"]:
        return set()
    if len(parts) == 1:
        return {home.split(".")[1] for home in sfumato._HOMES.values()}
    public = sfumato._HOMES.get(parts[1])
    return {public.split(".")[1] if public else parts[1]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_rooms_below_its_own(path):
    own = room(path)
    for name in imports(path):
        strangers = rooms_of(name) - ALLOWED[own] - {own}
        assert not strangers, f"{path.name} in {own} imports {name}"


def test_every_room_has_its_place_on_one_floor():
    found = {room(path) for path in FILES}
    assert found == set(ALLOWED)
    placed = [room_name for floor in FLOORS for room_name in floor]
    assert len(placed) == len(set(placed))


def test_the_table_of_contributing_is_the_one_that_is_enforced():
    page = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = [
        [name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`(.*?)`", row)]
        for row in rows
    ]
    ground = [name for row in named for name in row if name in FLOORS[0]]
    assert sorted(ground) == sorted(FLOORS[0])
    assert [sorted(row) for row in named if row[0] not in FLOORS[0]] == [
        sorted(floor) for floor in FLOORS[1:]
    ]


@pytest.mark.parametrize(
    ("package", "home"),
    [("matplotlib", "report"), ("click", "cli"), ("argparse", "cli")],
)
def test_plotting_parsing_and_decoding_each_have_one_room(package, home):
    users = {room(path) for path in FILES if any(n.split(".")[0] == package for n in imports(path))}
    assert users <= {home}


def test_opencv_decodes_video_and_serves_as_a_baseline_and_nothing_else():
    users = {path.name for path in FILES if any(n.split(".")[0] == "cv2" for n in imports(path))}
    assert users == {"video.py", "baselines.py"}


def test_nothing_is_imported_by_pickle_or_eval():
    for path in FILES:
        text = path.read_text()
        assert "pickle.load" not in text
        assert not any(name.split(".")[0] == "pickle" for name in imports(path))


def test_functions_stay_short():
    lengths = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1:] if ast.get_docstring(node) else node.body
                lengths.append((_lines(first), f"{path.name}:{node.name}"))
    # The budget of the design: nothing over 40 lines of code, and most far below it.
    assert [name for length, name in lengths if length > 40] == []
    assert sorted(length for length, _ in lengths)[len(lengths) // 2] <= 5


def _lines(body):
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_every_public_name_exists_and_is_documented():
    for name in sfumato.__all__:
        assert name == "__version__" or getattr(sfumato, name).__doc__


def test_importing_the_package_does_not_load_torch():
    code = "import sys, sfumato; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sfumato.nonsense  # noqa: B018
