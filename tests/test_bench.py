"""The benchmarks, small: every row is measured and both sides of it agree; how fast it was is not judged here."""

from __future__ import annotations

import gc
import itertools
import math

import pytest
from bench import __main__ as command
from bench import contention, peers
from bench.harness import SCALES, Bench, Row, at_least, at_most, figure

CASES = [case for cases in command.GROUPS.values() for case in cases]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(gc, "unfreeze", lambda: None)  # pytest's own objects stay frozen
    with Bench(tmp_path, scale=SCALES["tiny"], rounds=1) as bench:
        yield bench


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_case_gives_rows_with_figures(tiny, monkeypatch, case):
    monkeypatch.setattr(contention, "PROCESSES", 2)
    rows = list(case(tiny))
    assert rows
    for row in rows:
        assert math.isfinite(row.ours) and (row.raw is None or math.isfinite(row.raw))
        assert row.ours > 0 or " errors " in row.work, row
        assert len(row.cells()) == len(command.HEADINGS) and len(row.work) <= command.WIDTHS[0], row.work


def test_we_do_what_the_peers_are_asked_to_do(tiny, monkeypatch):
    monkeypatch.setattr(peers, "PEERS", (peers.Memstore,))
    rows = [row for case in peers.CASES for row in case(tiny)]
    assert len(rows) == 6
    assert all(row.ours > 0 and row.raw > 0 for row in rows)


def test_a_peer_that_is_not_installed_has_a_line_of_its_own(tiny, monkeypatch):
    class Missing(peers.Peer):
        module = "no_such_package"

    monkeypatch.setattr(peers, "PEERS", (Missing,))
    assert [row for case in (peers.absent, peers.appended) for row in case(tiny)] == ["no_such_package is not installed here: skipped"]


def test_sides_take_turns_and_the_first_round_does_not_count(tmp_path):
    order, clock = [], itertools.count(step=1.0)
    costs = {"ours": iter((100, 3, 1, 2)), "raw": iter((100, 1, 1, 1))}

    def side(name):
        order.append(name)
        for _ in range(next(costs[name]) - 1):
            next(clock)

    bench = Bench(tmp_path, clock=lambda: next(clock))
    assert bench.race(lambda: side("ours"), lambda: side("raw"), rounds=3) == [2.0, 1.0]
    assert order == ["raw", "ours", "ours", "raw", "raw", "ours", "ours", "raw"]


def test_a_target_is_met_on_the_right_side_of_its_bound():
    assert [Row("w", ours, 1.0, at_most(1.5)).cells()[-1] for ours in (1.5, 1.6)] == ["yes", "NO"]
    assert [Row("w", ours, 100.0, at_least(0.65), "/s").cells()[-1] for ours in (65.0, 64.0)] == ["yes", "NO"]
    assert [Row("w", ours, 9.0, at_most(0.2, "s")).cells()[-2:] for ours in (0.2, 0.3)] == [("<= 200 ms", "yes"), ("<= 200 ms", "NO")]
    assert Row("w", 1.0, None, None).cells() == ("w", "1 s", "", "", "", "")


def test_figures_read_well():
    assert [figure(seconds, "s") for seconds in (0.0, 4.2e-8, 4.2e-5, 0.0123, 2.0)] == ["0 s", "0.04 us", "42 us", "12.3 ms", "2 s"]
    assert [figure(12_345.6, "/s"), figure(30.25, "MB"), figure(0.5, "")] == ["12,346 /s", "30.2 MB", "0.5"]


def test_the_command_prints_the_rows_that_were_asked_for(capsys):
    command.main(["last_50", "--scale", "tiny", "--rounds", "1", "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[:2] == ["| work | ours | raw | ratio | target | met |", "|---|--:|--:|--:|--:|--:|"]
    assert len(table) == 3 and table[2].startswith("| last 50 of one of ") and lines[-1].startswith(("0 of 1", "1 of 1"))


def test_the_command_names_what_there_is(capsys):
    with pytest.raises(SystemExit):
        command.main(["lats_50"])
    assert "last_50" in capsys.readouterr().err
