"""Real history: each commit of another project is a document, and is found again by half of the words of its subject.

Not every commit can be told by its subject: one in six has the very text of another ("Lint", "Fix", "x"), and of a subject of two words
half is "Update". So two figures are printed: of all commits, where one that says word for word the same counts as found; and of those
whose subject has at least three words, where nothing but the commit's own chunk counts.
"""

from __future__ import annotations

import json
import random

import pytest

from memstore import open_store

SEED, DRAWN, FIRST = 6, 100, 5
FAIR = 3  # words of a subject, of which two are asked


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The commits, and a store that has them."""
    from conftest import DATA

    path = DATA / "commits-langgraph.jsonl"
    if not path.exists():
        pytest.skip(f"no real commits at {path}")
    commits = {commit["id"]: commit["text"] for commit in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    with open_store(":memory:") as store:
        with store.transaction():
            for id, text in commits.items():
                store.documents.add_text(text, uri=f"git:{id}", id=id, source_type="git", git_commit=id)
        yield commits, store


def asked(rng, subject):
    """Half of its words, rounded up, in an order in which it does not have them."""
    words = subject.split()
    places = rng.sample(range(len(words)), (len(words) + 1) // 2)
    return " ".join(words[place] for place in (places if places != sorted(places) else reversed(places)))


def own(_commits, id, hit):
    return hit.document.id == id


def same(commits, id, hit):
    return commits[hit.document.id].casefold().split() == commits[id].casefold().split()


def found(history, seed, ids, counts):
    """How many of a hundred of these commits are among the first five for half of their subject."""
    commits, store = history
    rng = random.Random(seed)
    hits = {id: store.documents.search(asked(rng, commits[id].splitlines()[0]), limit=FIRST) for id in rng.sample(ids, DRAWN)}
    return sum(any(counts(commits, id, hit) for hit in first) for id, first in hits.items())


def telling(commits):
    """The commits whose subject has words enough to be told by half of them."""
    return [id for id, text in commits.items() if len(text.splitlines()[0].split()) >= FAIR]


def test_a_commit_is_found_by_half_of_the_words_of_its_subject(history):
    commits, _ = history
    by_subject, of_all = found(history, SEED, telling(commits), own), found(history, SEED, list(commits), same)
    print(f"of {DRAWN} commits with {FAIR} words or more: {by_subject} by their own chunk; of {DRAWN} of all: {of_all} by what it says")
    assert by_subject >= 90
    assert of_all >= 80


@pytest.mark.nightly
def test_so_are_others_that_are_drawn(history):
    commits, _ = history
    figures = [(found(history, seed, telling(commits), own), found(history, seed, list(commits), same)) for seed in range(10)]
    print(f"by their own chunk, by what they say: {figures}")
    assert sum(by_subject for by_subject, _ in figures) >= 900
    assert sum(of_all for _, of_all in figures) >= 800
