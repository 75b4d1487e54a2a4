"""Mutation testing of what decides about results, tokens and locks.

``python -m tests.mutants [GROUP...]`` changes one place of the code at a time, in a copy, and runs
the tests that are to notice. It lists the survivors. ``--every N`` takes every Nth mutant.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_SECONDS = 240
"""A mutant that takes longer waits for ever; that is noticed, too."""
IGNORED = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".hypothesis", "*_cache")


@dataclass(frozen=True)
class Group:
    """Files of the package, and the tests that are to notice each change in them."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    storages: str = "memory"


GROUPS = {
    "gate": Group(
        ("gate.py",),
        (
            *("unit/test_gate.py", "unit/test_kit.py", "storages/test_errors.py"),
            "storages/test_overridden.py",
            *("storages/test_expire.py", "storages/test_reschedule.py"),
            *("unit/test_isolation.py", "django/test_django_tasks_option.py"),
            *("django/test_django_tasks_records.py", "unit/test_proxies.py"),
        ),
    ),
    "tokens": Group(
        ("handlers/tokens.py",),
        (
            *("storages/test_tokens.py", "unit/test_bad_input.py", "unit/test_isolation.py"),
            "django/test_django_tasks_records.py",
        ),
    ),
    "sweep": Group(
        ("upkeep/_mark_and_delete.py", "upkeep/tokens/sweep.py", "upkeep/_live_ids.py"),
        (
            *("storages/test_sweep.py", "storages/test_results.py", "storages/test_sweep_ways.py"),
            *(
                "storages/test_sweep_model.py",
                "storages/test_purge.py",
                "storages/test_token_list.py",
            ),
        ),
        "memory,sqlite",
    ),
    "release": Group(
        ("upkeep/locks/release.py",),
        (
            *("storages/test_locks.py", "web/test_release.py", "storages/test_lock_holders.py"),
            "storages/test_locks_ttl.py",
        ),
    ),
}
SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}


@dataclass(frozen=True)
class Mutant:
    """A text in place of another one."""

    file: str
    line: int
    start: int
    end: int
    text: str
    was: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.was!r} -> {self.text!r}"


class Mutator(ast.NodeVisitor):
    """Finds the mutants of one file, as ``(start, end, text)``."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = [0]
        for line in source.encode().splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self.found: list[tuple[int, int, str]] = []

    def _place(self, node: ast.AST) -> tuple[int, int]:
        at = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        begin, end = (self._lines[line - 1] + column for line, column in at)
        return begin, end

    def _swap(self, left: ast.AST, operator: ast.AST, right: ast.AST) -> None:
        if type(operator) in SWAPS:
            old, new = SWAPS[type(operator)]
            begin, end = self._place(left)[1], self._place(right)[0]
            between = self._source.encode()[begin:end].decode()
            self.found.append((begin, end, between.replace(old, new, 1)))

    def visit_Compare(self, node: ast.Compare) -> None:
        """Swap each operator."""
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self._swap(left, operator, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap each operator."""
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap(left, node.op, right)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Swap the operator."""
        self._swap(node.left, node.op, node.right)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave ``not`` out."""
        if isinstance(node.op, ast.Not):
            self.found.append((self._place(node)[0], self._place(node.operand)[0], ""))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Turn the condition round, unless it has an operator of its own."""
        if isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)):
            begin = self._place(node.test)[0]
            self.found.append((begin, begin, "not "))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Return None."""
        if node.value is not None and not _is_constant(node.value, None):
            self.found.append((*self._place(node.value), "None"))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave a call out."""
        if isinstance(node.value, ast.Call):
            self._leave_out(node)
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        """Go on with the rest of the body."""
        self._leave_out(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Raise nothing."""
        self._leave_out(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Leave the change out."""
        self._leave_out(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave out what is assigned to an attribute or under a key."""
        if isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
            self._leave_out(node)
        self.generic_visit(node)

    def _leave_out(self, node: ast.stmt) -> None:
        self.found.append((*self._place(node), "pass"))

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change numbers and truth values."""
        if isinstance(node.value, bool):
            self.found.append((*self._place(node), str(not node.value)))
        elif isinstance(node.value, (int, float)):
            self.found.append((*self._place(node), str(node.value + 1)))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave annotations alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Leave annotations alone."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Leave annotations and decorators alone."""
        for each in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(each)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Leave protocols alone, which have no body."""
        if not any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            for each in node.body:
                self.visit(each)


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def mutants(file: str) -> Iterator[Mutant]:
    """Yield the mutants of a file of the package that can be compiled."""
    raw = (ROOT / "huey_signals_kit" / file).read_bytes()
    mutator = Mutator(raw.decode())
    mutator.visit(ast.parse(raw))
    for start, end, text in sorted(set(mutator.found)):
        mutant = Mutant(
            file, raw[:start].count(b"\n") + 1, start, end, text, raw[start:end].decode()
        )
        with suppress(SyntaxError):
            compile(changed(raw, mutant), file, "exec")
            yield mutant


def changed(raw: bytes, mutant: Mutant) -> bytes:
    """Return the file with the change."""
    return raw[: mutant.start] + mutant.text.encode() + raw[mutant.end :]


def survives(copy: Path, group: Group, mutant: Mutant, number: int) -> bool:
    """Return whether the tests pass with this mutant."""
    path = copy / "huey_signals_kit" / mutant.file
    raw = path.read_bytes()
    path.write_bytes(changed(raw, mutant))
    # Bytecode is compiled anew only if the time of the file, in seconds, is another one.
    os.utime(path, (number, number))
    try:
        return _passes(copy, group)
    finally:
        path.write_bytes(raw)


def _passes(copy: Path, group: Group) -> bool:
    # A fork of this process, which has imported pytest and all but the package.
    child = os.fork()
    if child == 0:
        os.setsid()
        _run_pytest(copy, group)
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_pytest(copy: Path, group: Group) -> None:
    import pytest

    code = 3
    try:
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        for name in [each for each in sys.modules if each.partition(".")[0] == "tests"]:
            del sys.modules[name]  # those of the copy are imported
        output = os.open(copy / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        options = ["-q", "-x", "-n0", "-p", "no:cacheprovider", f"--storages={group.storages}"]
        code = int(pytest.main([*options, *(f"tests/{each}" for each in group.tests)]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def main() -> int:
    """Print each survivor, and how many mutants there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--again", metavar="FILE", help="only the survivors in this output")
    arguments = parser.parse_args()
    import huey  # noqa: F401
    import pytest  # noqa: F401
    import redis  # noqa: F401

    survivors = 0
    for name in arguments.groups or GROUPS:
        group = GROUPS[name]
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            copy = Path(folder, "copy")
            shutil.copytree(ROOT, copy, ignore=IGNORED)
            sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != ROOT]
            assert _passes(copy, group), (copy / "output").read_text()
            found = [each for file in group.files for each in mutants(file)][:: arguments.every]
            if arguments.again:
                known = Path(arguments.again).read_text().splitlines()
                found = [each for each in found if f"survived: {each}" in known]
            alive = 0
            for number, mutant in enumerate(found, 10**9):
                if survives(copy, group, mutant, number):
                    alive += 1
                    print(f"survived: {mutant}", flush=True)
            print(f"{name}: {len(found)} mutants, {alive} survived", flush=True)
            survivors += alive
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
