"""Records examples/data/session.jsonl: a coding agent finds and mends a rounding bug in a small module.

What is scripted and what is real: no model was asked. The words of the user and of the assistant, and the assistant's choice of tool
calls, were written by hand and stand below in STORY. Every tool result is the real output of really running that call, one after
another, in a fresh temporary folder that starts with FILES. Change a line of FILES or STORY and the results change by themselves.

    python examples/record_session.py            the session on standard output
    python examples/record_session.py --write    into examples/data/session.jsonl and the package's copy of it
    python examples/record_session.py --check    run it again and compare: status 1 and a diff where the shipped file differs

The format is one OpenAI chat message a line. One more line, the last, is no message: it has a "type" in place of a "role" and carries
what the user taught the agent: subject, claim, what it rejects, and why.

1. The bytes are the same on every supported Python and every machine: `python` is the one that runs this script, with an environment
   of its own (ENVIRONMENT) and none of yours. The marks under a traceback's source lines are switched off: they differ by version.
2. Two things are cut from what a command prints, nothing else: the path of the temporary folder, so that files have relative names,
   and the duration that unittest reports ("Ran 6 tests in 0.001s" is recorded as "Ran 6 tests").
3. A status other than 0 is added to the output as a last line of its own.

The trap: the assistant quotes figures from the results, and those words do not follow when a result changes. Read them after --write.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SHIPPED = Path(__file__).resolve().parent / "data" / "session.jsonl"
PACKAGED = Path(__file__).resolve().parents[1] / "memstore" / "cli" / "session.jsonl"  # the same, for a copy of the package alone

# Some interpreters do not start without the first three; everything else of the caller's environment could change the output.
ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ} | {
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNODEBUGRANGES": "1",
    "NO_COLOR": "1",
}

FILES = {
    "README.md": """\
# tally

Turns items into invoices. Prices come in as euros (floats, from the shop's export); inside everything is whole cents.

- `money.py`: `to_cents`, `format_euros`
- `invoice.py`: `line_total`, `vat`, `total`
- `invoices.csv`: last month, one item an invoice, with what was billed (in cents)

Tests: `python -m unittest`
""",
    "money.py": '''\
"""Euros outside, whole cents inside."""


def to_cents(euros):
    """The amount in whole cents."""
    return int(euros * 100)


def format_euros(cents):
    """Cents as people write them: 1999 is '€ 19.99', -525 is '€ -5.25'."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"€ {sign}{whole}.{rest:02d}"
''',
    "invoice.py": '''\
"""What a customer owes, in cents."""

from money import to_cents

VAT_PERCENT = 19


def line_total(quantity, unit_price):
    """The net price of one item."""
    return to_cents(quantity * unit_price)


def vat(net_cents):
    """The tax on a net sum."""
    return int(net_cents * VAT_PERCENT / 100)


def total(lines):
    """Net plus tax of (quantity, unit price) pairs."""
    net = sum(line_total(quantity, unit_price) for quantity, unit_price in lines)
    return net + vat(net)
''',
    "test_tally.py": """\
import unittest

from invoice import line_total, total, vat
from money import format_euros, to_cents


class MoneyTest(unittest.TestCase):
    def test_an_amount_in_cents(self):
        self.assertEqual(to_cents(12.5), 1250)

    def test_a_refund_is_negative(self):
        self.assertEqual(to_cents(-5.25), -525)

    def test_cents_as_people_write_them(self):
        self.assertEqual(format_euros(-525), "€ -5.25")


class InvoiceTest(unittest.TestCase):
    def test_an_item(self):
        self.assertEqual(line_total(3, 2.5), 750)

    def test_the_tax(self):
        self.assertEqual(vat(10000), 1900)

    def test_net_plus_tax(self):
        self.assertEqual(total([(3, 2.5), (1, 12.5)]), 2380)
""",
    "invoices.csv": """\
number,customer,quantity,unit_price,billed
R-114,Café Noir,2,4.50,1071
R-115,Bäckerei Łoś,12,0.55,785
R-116,東京書店,1,250.00,29750
R-117,Zoë Müller,1,19.99,2377
R-118,Café Noir,3,0.335,119
R-119,Flyer & Söhne,500,0.125,7437
R-120,Bäckerei Łoś,-1,5.25,-624
""",
}

COMPARE = '''\
"""Four ways from euros to cents, side by side."""

from decimal import ROUND_HALF_UP, Decimal
from math import copysign

WAYS = {
    "int": lambda euros: int(euros * 100),
    "int, signed half": lambda euros: int(euros * 100 + copysign(0.5, euros)),
    "round": lambda euros: round(euros * 100),
    "decimal": lambda euros: int((Decimal(str(euros)) * 100).to_integral_value(ROUND_HALF_UP)),
}
print(f"{'euros':>8}", *(f"{name:>17}" for name in WAYS))
for euros in (19.99, -19.99, -5.25, 0.125, -0.125, 1.005):
    print(f"{euros:>8}", *(f"{way(euros):>17}" for way in WAYS.values()))
'''

SWEEP = '''\
"""Every item from 1 to 40 pieces at 0.001 to 3.000 euros, against whole-number arithmetic."""

from invoice import line_total

wrong = []
for quantity in range(1, 41):
    for thousandths in range(1, 3001):
        exact = (quantity * thousandths + 5) // 10
        got = line_total(quantity, thousandths / 1000)
        if got != exact:
            wrong.append(f"{quantity} x {thousandths / 1000}: {got}, exact {exact}")
print(f"{len(wrong)} of {40 * 3000} items wrong", *wrong[:3], sep="\\n")
'''

REGRESSION_TESTS = '''

class RoundingTest(unittest.TestCase):
    """Cents are rounded, never cut: a tie goes away from zero, on the amount as it is written."""

    def test_no_cent_is_lost_to_the_binary_float(self):
        self.assertEqual(to_cents(19.99), 1999)

    def test_a_tie_goes_away_from_zero(self):
        self.assertEqual((to_cents(0.125), to_cents(-0.125)), (13, -13))

    def test_a_tie_is_one_by_the_written_amount(self):
        self.assertEqual(to_cents(1.005), 101)

    def test_the_tax_is_rounded_too(self):
        self.assertEqual(vat(1999), 380)
'''

TO_CENTS_TRIED = '''\


def to_cents(euros):
    """The amount in whole cents."""
    return int(euros * 100 + 0.5)
'''

TO_CENTS_MENDED = '''\

from decimal import ROUND_HALF_UP, Decimal


def to_cents(euros):
    """The amount in whole cents."""
    return round_half_up(Decimal(str(euros)) * 100)


def round_half_up(value):
    """The nearest whole number of a decimal; a tie goes away from zero."""
    return int(value.to_integral_value(ROUND_HALF_UP))
'''

LINE_TOTAL_TEST = '''
    def test_an_item_is_multiplied_before_anything_is_rounded(self):
        self.assertEqual(line_total(3, 0.145), 44)
'''

AUDIT = """\
import csv
from invoice import total
from money import format_euros
for row in csv.DictReader(open("invoices.csv", encoding="utf-8")):
    right, billed = total([(float(row["quantity"]), float(row["unit_price"]))]), int(row["billed"])
    if right != billed:
        print(row["number"], row["customer"], "billed", format_euros(billed), "right", format_euros(right), f"{right - billed:+d}")
"""

CORRECTION = {
    "type": "correction",
    "subject": "rounding of amounts to cents",
    "claim": "round, do not truncate: half away from zero, on the decimal as it is written",
    "rejected": "int() is enough if half a cent is added first",
    "why": "19.99 * 100 is 1998.9999999999998 as a float and int() cuts it to 1998; half a cent added first made a refund of 525 cents 524",
    "domain": "python",
}


# The tools. Each takes the work folder first, then what the assistant passes, and returns the text that the assistant gets.


def run(folder: Path, command: str) -> str:
    """Runs one Python command line in the folder: output and errors in one text."""
    program, *arguments = shlex.split(command)
    if program != "python":
        raise SystemExit(f"the story runs {program!r}; only python is the same on every machine")
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=ENVIRONMENT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=60, check=False,
    )
    output = done.stdout.replace(f"{folder}{os.sep}", "")
    output = re.sub(r"^(Ran \d+ tests?) in [\d.]+s$", r"\1", output, flags=re.MULTILINE)
    return output if done.returncode == 0 else f"{output}[exit status {done.returncode}]\n"


def list_files(folder: Path) -> str:
    """The names of all files, one a line."""
    return "".join(f"{path.name}\n" for path in sorted(folder.iterdir()))


def read_file(folder: Path, path: str) -> str:
    """A file as it is."""
    return (folder / path).read_text(encoding="utf-8")


def write_file(folder: Path, path: str, text: str) -> str:
    """Writes a whole file and says how many lines it has."""
    # Not Path.write_text: line ends must not depend on the system.
    (folder / path).write_bytes(text.encode())
    return f"{path}: {len(text.splitlines())} lines written\n"


def edit_file(folder: Path, path: str, old: str, new: str) -> str:
    """Replaces a text that occurs exactly once and returns the diff."""
    before = read_file(folder, path)
    if before.count(old) != 1:
        return f"{path}: the old text occurs {before.count(old)} times, nothing changed\n"
    after = before.replace(old, new)
    write_file(folder, path, after)
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), path, path, n=1))


def grep(folder: Path, pattern: str) -> str:
    """The Python lines that a regular expression finds, with file and number; empty when there are none."""
    return "".join(
        f"{path.name}:{number}: {line}\n"
        for path in sorted(folder.glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    )


TOOLS: dict[str, Callable[..., str]] = {tool.__name__: tool for tool in (run, list_files, read_file, write_file, edit_file, grep)}


# The story. An assistant's line is its words (None for none) and the calls it makes, each a tool's name and its arguments.

SYSTEM = (
    "You are a coding agent in a small Python project. Look before you change, run the tests after every change, change no more than the "
    "task needs, and say plainly what you tried that did not work. Your tools: run, list_files, read_file, write_file, edit_file, grep."
)
REPORT = (
    "Zoë Müller complains about invoice R-117: one item at € 19.99 plus 19 % VAT should come to € 23.79, and we billed € 23.77. Two cents, "
    "but she is right. Find out why and mend it. Please keep the public function names (to_cents, format_euros, line_total, vat, total): "
    "the shop imports them."
)
CONTRADICTION = (
    "No. Round, do not truncate: int() is what got us here, and with half a cent glued on it is still truncation. Our accountant rounds "
    "half away from zero, on the amount as it is written: a flyer at € 0.125 is 13 cents, a refund of it -13, and € 1.005 is 101. Put "
    "that into regression tests before you touch the code again."
)
SUMMARY = (
    "R-117 comes to € 23.79 now. What was wrong: to_cents and vat cut their result with int(), and each lost one cent: 19.99 * 100 is "
    "1998.9999999999998 as a float, and 379.81 cents of tax became 379.\n\n"
    "- money.py: a new round_half_up rounds half away from zero; to_cents uses it on the amount as it is written.\n"
    "- invoice.py: vat uses it too; line_total multiplies as decimals, so no product is rounded in binary first.\n"
    "- test_tally.py: five regression tests, the first four written before the fix.\n\n"
    "What did not work: half a cent in front of int() broke refunds, and the first rounding still missed ties in line_total, which the "
    "sweep found and your examples did not. All public names are as they were; round_half_up is the only new one."
)
VERDICT = (
    "Four of the seven were billed wrong:\n\n"
    "- R-117 Zoë Müller: € 23.77, right is € 23.79\n"
    "- R-118 Café Noir: € 1.19, right is € 1.20\n"
    "- R-119 Flyer & Söhne: € 74.37, right is € 74.38\n"
    "- R-120 Bäckerei Łoś, the refund: € -6.24, right is € -6.25\n\n"
    "Truncation cuts towards zero, so we gave away a cent or two on each sale and kept one of the refund: R-120 is the one where we owe."
)


def story() -> Iterator[tuple[Any, ...]]:
    """The lines in order: (role, words) and, for the assistant, its calls."""
    yield "system", SYSTEM
    yield "user", REPORT
    yield from found()
    yield from tried()
    yield "user", CONTRADICTION
    yield from mended()
    yield "assistant", SUMMARY
    yield "user", "Good work. Which of last month's invoices were billed wrong? They are in invoices.csv."
    yield "assistant", "I compare every line of it with what the mended code says.", ("run", {"command": f"python -c {shlex.quote(AUDIT)}"})
    yield "assistant", VERDICT


def found() -> Iterator[tuple[Any, ...]]:
    """The agent looks around, reproduces the bug and finds its cause."""
    yield "assistant", "I look at the project before I touch anything.", ("list_files", {}), ("read_file", {"path": "README.md"})
    yield "assistant", "Do the tests pass as it stands?", ("run", {"command": "python -m unittest -v"})
    yield (
        "assistant", "Green, so no test covers this. I reproduce R-117 step by step.",
        ("run", {"command": "python -c 'from invoice import *; print(line_total(1, 19.99), vat(1999), total([(1, 19.99)]))'"}),
    )
    yield (
        "assistant", "1998 where 1999 is due, and the tax on a correct 1999 is one cent short as well: two faults, a cent each.",
        ("read_file", {"path": "money.py"}), ("read_file", {"path": "invoice.py"}),
    )
    yield (
        "assistant",
        "to_cents and vat both turn a float into cents with int(). Are there more, what do they get to see, how many prices are hit?",
        ("grep", {"pattern": r"int\("}),
        ("run", {"command": "python -c 'print(19.99 * 100, 1999 * 19 / 100)\n"
                            "print(sum(int(cents / 100 * 100) != cents for cents in range(1, 10001)), \"of 10000 prices lose a cent\")'"}),
    )


def tried() -> Iterator[tuple[Any, ...]]:
    """The wrong fix: half a cent in front of the truncation."""
    yield (
        "assistant",
        "That is the cause: int() truncates, and 1998.9999999999998 becomes 1998. 573 prices up to € 100 lose a cent this way. The "
        "smallest change is half a cent in front of int(), in both places.",
        ("edit_file", {"path": "money.py", "old": "int(euros * 100)", "new": "int(euros * 100 + 0.5)"}),
        ("edit_file", {"path": "invoice.py", "old": "VAT_PERCENT / 100)", "new": "VAT_PERCENT / 100 + 0.5)"}),
        ("run", {"command": "python -m unittest"}),
    )
    yield (
        "assistant",
        "My change broke refunds: int() cuts towards zero, so half a cent helps above zero and harms below it: -525 + 0.5 is cut to -524. "
        "I would give the half the sign of the amount, int(euros * 100 + math.copysign(0.5, euros)); then int() is enough. Shall I?",
    )


def mended() -> Iterator[tuple[Any, ...]]:
    """The right fix: tests first, decimals, and a sweep that finds one more fault."""
    yield (
        "assistant", "Understood: round, do not truncate. Before I choose how, I put the candidates beside your amounts.",
        ("write_file", {"path": "compare.py", "text": COMPARE}), ("run", {"command": "python compare.py"}),
    )
    yield (
        "assistant",
        "You were right about my idea: the signed half gets € 1.005 wrong. So does the built-in round(), and it takes 0.125 to 12, the "
        "even neighbour. Only the decimal made from the written amount gets all six. The tests first, as you asked.",
        ("edit_file", {
            "path": "test_tally.py",
            "old": "        self.assertEqual(total([(3, 2.5), (1, 12.5)]), 2380)\n",
            "new": "        self.assertEqual(total([(3, 2.5), (1, 12.5)]), 2380)\n" + REGRESSION_TESTS,
        }),
        ("run", {"command": "python -m unittest test_tally.RoundingTest"}),
    )
    yield (
        "assistant",
        "They have to fail before the fix, or they prove nothing. Two do, on the ties; the other two pass only because my half cent is "
        "still in, and failed before it (1998, 379). Now the fix, in one place for both callers.",
        ("edit_file", {"path": "money.py", "old": TO_CENTS_TRIED, "new": TO_CENTS_MENDED}),
        ("edit_file", {
            "path": "invoice.py",
            "old": "int(net_cents * VAT_PERCENT / 100 + 0.5)",
            "new": "round_half_up(Decimal(net_cents * VAT_PERCENT) / 100)",
        }),
        ("edit_file", {
            "path": "invoice.py",
            "old": "from money import to_cents\n",
            "new": "from decimal import Decimal\n\nfrom money import round_half_up, to_cents\n",
        }),
    )
    yield "assistant", None, ("run", {"command": "python -m unittest"})
    yield from swept()


def swept() -> Iterator[tuple[Any, ...]]:
    """Green is not enough: the check that finds what the examples missed."""
    yield (
        "assistant",
        "Green. But six amounts are a small proof, and line_total multiplies floats before to_cents sees them. I sweep a range of items.",
        ("write_file", {"path": "sweep.py", "text": SWEEP}), ("run", {"command": "python sweep.py"}),
    )
    yield (
        "assistant", "The product is already off when it arrives: a tie that falls just short is no tie any more. Multiply as decimals, "
        "and one more regression test.",
        ("edit_file", {
            "path": "invoice.py",
            "old": "to_cents(quantity * unit_price)",
            "new": "to_cents(Decimal(str(quantity)) * Decimal(str(unit_price)))",
        }),
        ("edit_file", {
            "path": "test_tally.py",
            "old": "        self.assertEqual(vat(1999), 380)\n",
            "new": "        self.assertEqual(vat(1999), 380)\n" + LINE_TOTAL_TEST,
        }),
    )
    yield "assistant", None, ("run", {"command": "python sweep.py"}), ("run", {"command": "python -m unittest -v"})
    yield (
        "assistant", "All right now. I take my two scratch files away and look whether any product still goes straight into int().",
        ("run", {"command": "python -c 'import os; os.remove(\"compare.py\"); os.remove(\"sweep.py\")'"}),
        ("grep", {"pattern": r"int\(.*\*"}),
    )


def record(folder: Path) -> Iterator[dict[str, Any]]:
    """Plays the story in an empty folder: the messages with real results, then the correction."""
    for path, text in FILES.items():
        write_file(folder, path, text)
    made = 0
    for role, words, *calls in story():
        message: dict[str, Any] = {"role": role, "content": words}
        ids = [f"call_{made + number:02d}" for number in range(1, len(calls) + 1)]
        made += len(calls)
        if calls:
            message["tool_calls"] = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}
                for id, (name, arguments) in zip(ids, calls)
            ]
        yield message
        for id, (name, arguments) in zip(ids, calls):
            yield {"role": "tool", "tool_call_id": id, "content": TOOLS[name](folder, **arguments)}
    yield CORRECTION


def main(argv: Sequence[str] | None = None) -> int:
    """Records, and prints, writes or compares."""
    parser = argparse.ArgumentParser(description="Record the session that ships with memstore by running it.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help=f"write examples/data/{SHIPPED.name} and the copy in the package")
    what.add_argument("--check", action="store_true", help="compare with the shipped file; status 1 and a diff where it differs")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        # resolve(): the child prints the real path where the temporary folder is a link.
        recorded = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in record(Path(folder).resolve()))
    if chosen.write:
        for place in (SHIPPED, PACKAGED):
            place.write_bytes(recorded.encode())
    elif chosen.check:
        shipped = SHIPPED.read_text(encoding="utf-8") if SHIPPED.exists() else ""
        show(difflib.unified_diff(shipped.splitlines(True), recorded.splitlines(True), "shipped", "recorded"))
        return int(shipped != recorded)
    else:
        show([recorded])
    return 0


def show(lines: Iterable[str]) -> None:
    """Writes UTF-8 with plain line ends, whatever the terminal is set to."""
    sys.stdout.buffer.writelines(line.encode() for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
