"""Every column of the twelve AUA tables is an attribute of a record, goes in through a public method and comes back as it went.

`COLUMNS` is what AUA's reference names. A column whose attribute has another name here is in `NAMES`; one that only the store
itself sets, because a caller must not, is in `OWN` and has its own test below.
"""

from __future__ import annotations

import pytest

COLUMNS = {
    "promotions": "id created_at specialist event from_model to_model reverted metadata",
    "corrections": "id created_at subject domain claim rejected confidence source effective_confidence decay_class metadata",
    "sessions": "id created_at updated_at domain query_count metadata",
    "audit_log": """id created_at event_type session_id trace_id token_id field specialist u_score confidence latency_ms details
        prev_hash curr_hash""",
    "assertion_events": "id session_id assertion_name level passed bonus_applied retries_used latency_ms domain policy_name",
    "conversations": "conversation_id user_id title project_id created_at updated_at",
    "messages": "message_id conversation_id role content callout_type models_used accuracy_level confidence created_at",
    "model_runs": """run_id query_id conversation_id specialist round utility_score confidence_score vcg_welfare_score vcg_winner
        corrections_applied latency_ms domain domain_l0 domain_path created_at""",
    "token_counters": "counter_id specialist conversation_id token_estimate message_count thread_number updated_at",
    "message_keywords": "keyword message_id conversation_id role created_at",
    "context_backups": "backup_id conversation_id specialist trigger thread_number backup_text token_estimate created_at",
    "projects": "project_id user_id name created_at",
}

#: Arguments that carry a column of another name.
NAMES = {
    "conversations": {"conversation_id": "id", "project_id": "project"},
    "messages": {"message_id": "id"},
    "model_runs": {"run_id": "id"},
    "token_counters": {"counter_id": "id"},
    "message_keywords": {"keyword": "text", "message_id": "item_id"},
    "context_backups": {"backup_id": "id", "backup_text": "note"},
    "projects": {"project_id": "id"},
    "sessions": {"id": "session_id"},
}

OWN = {
    "audit_log": {"created_at", "prev_hash", "curr_hash"},  # the log's clock and chain: events are never written afterwards
    "corrections": {"effective_confidence"},  # computed at every read
}

KEY = ["größe-日本"]  # what identifies is never blank
SAID = [*KEY, " Größe\n日本 "]  # a text that must say something
TEXT = ["", *SAID]
MAYBE_TEXT = [None, *TEXT]
LABEL = ["", *KEY]
MAYBE_LABEL = [None, *LABEL]
TIME = [0, 0.25, 1_700_000_000.125]
NUMBER = [0, -0.5, 0.9]
MAYBE_NUMBER = [None, *NUMBER]
POSITIVE = [None, 0, 0.25]
COUNT = [0, 7, 2**40]
FLAG = [False, True, 0, 1]
ANY_OBJECT = [None, {}, {"größe": ["", 0, None, "日本"]}]

#: What may stand in each column: NULL, 0, "" and non-ASCII, as far as it can hold them.
LEGAL = {
    "promotions": {
        "id": KEY, "created_at": TIME, "specialist": LABEL, "event": ["promote", "rollback"], "from_model": MAYBE_LABEL,
        "to_model": MAYBE_LABEL, "reverted": FLAG, "metadata": ANY_OBJECT,
    },
    "corrections": {
        "id": KEY, "created_at": TIME, "subject": SAID, "domain": LABEL, "claim": SAID, "rejected": TEXT, "confidence": [0, 0.9, 1],
        "source": LABEL, "decay_class": ["A", "B", "C", "D"], "metadata": ANY_OBJECT,
    },
    "sessions": {
        "id": KEY, "created_at": TIME, "updated_at": TIME, "domain": MAYBE_TEXT, "query_count": COUNT, "metadata": ANY_OBJECT,
    },
    "audit_log": {
        "id": KEY, "event_type": ["query", "auth_failure"], "session_id": MAYBE_LABEL, "trace_id": MAYBE_LABEL, "token_id": MAYBE_LABEL,
        "field": MAYBE_LABEL, "specialist": MAYBE_LABEL, "u_score": MAYBE_NUMBER, "confidence": MAYBE_NUMBER,
        "latency_ms": MAYBE_NUMBER, "details": [*ANY_OBJECT, 0, "", [], False],
    },
    "assertion_events": {
        "id": KEY, "session_id": MAYBE_LABEL, "assertion_name": LABEL, "level": ["blocking", "soft", "info"], "passed": FLAG,
        "bonus_applied": NUMBER, "retries_used": COUNT, "latency_ms": POSITIVE, "domain": MAYBE_LABEL, "policy_name": MAYBE_LABEL,
    },
    "conversations": {
        "conversation_id": KEY, "user_id": KEY, "title": TEXT, "project_id": [None, *KEY], "created_at": TIME, "updated_at": TIME,
    },
    "messages": {
        "message_id": KEY, "conversation_id": KEY, "role": ["user", "assistant"], "content": SAID,
        "callout_type": [None, "disagreement", "correction"], "models_used": [[], ["größe", ""]],
        "accuracy_level": [None, "fast", "balanced", "high", "maximum"], "confidence": [None, "High", "Medium", "Uncertain"],
        "created_at": TIME,
    },
    "model_runs": {
        "run_id": KEY, "query_id": MAYBE_LABEL, "conversation_id": LABEL, "specialist": LABEL, "round": ["answer", "peer_review"],
        "utility_score": MAYBE_NUMBER, "confidence_score": MAYBE_NUMBER, "vcg_welfare_score": MAYBE_NUMBER, "vcg_winner": FLAG,
        "corrections_applied": [[], ["größe", ""]], "latency_ms": POSITIVE, "domain": MAYBE_LABEL, "domain_l0": MAYBE_LABEL,
        "domain_path": MAYBE_LABEL, "created_at": TIME,
    },
    "token_counters": {
        "counter_id": KEY, "specialist": KEY, "conversation_id": KEY, "token_estimate": COUNT, "message_count": COUNT,
        "thread_number": COUNT, "updated_at": TIME,
    },
    "message_keywords": {
        "keyword": ["дом", "日", "0"], "message_id": KEY, "conversation_id": [None, *KEY], "role": [None, "user", "assistant"],
        "created_at": TIME,
    },
    "context_backups": {
        "backup_id": KEY, "conversation_id": KEY, "specialist": LABEL,
        "trigger": ["token_threshold", "message_count", "time_gap", "manual", "coverage_job_no_backup", "coverage_job_stale"],
        "thread_number": COUNT, "backup_text": SAID, "token_estimate": COUNT, "created_at": TIME,
    },
    "projects": {"project_id": KEY, "user_id": KEY, "name": KEY, "created_at": TIME},
}  # fmt: skip


def promotions(store, given):
    first = {"specialist": "swe", "event": "promote", "from_model": "m1", "to_model": "m2", **given}
    id = store.evals.record_promotion(**first).id
    return next(item for item in store.evals.promotions() if item.id == id)


def corrections(store, given):
    return store.corrections.get(store.corrections.add(**{"subject": "s", "claim": "c", **given}).id)


def sessions(store, given):
    return store.chat.get_session(store.chat.touch_session(**given).id)


def audit_log(store, given):
    return store.audit.get(store.audit.append(**{"event_type": "query", **given}).seq)


def assertion_events(store, given):
    store.evals.record_assertion(**{"assertion_name": "a", "level": "soft", "passed": True, **given})
    return store.evals.assertions()[0]


def conversations(store, given):
    return store.chat.get_conversation(store.chat.create_conversation(**given).id)


def messages(store, given):
    chat = store.chat.create_conversation(id=given.get("conversation_id", "c")).id
    return store.chat.get_message(store.chat.append(**{"role": "user", "content": "x", **given, "conversation_id": chat}).id)


def model_runs(store, given):
    store.evals.record_run(**{"conversation_id": "c", "specialist": "swe", **given})
    return store.evals.runs()[0]


def token_counters(store, given):
    counter = store.backups.add_counter(**{"conversation_id": "c", "specialist": "swe", **given})
    return store.backups.counter(counter.conversation_id, counter.specialist)


def message_keywords(store, given):
    store.keywords.add(**{"item_id": "m", "text": "größe", **given})
    return store.keywords.search(given.get("text", "größe"))[0]


def context_backups(store, given):
    backup = store.backups.save(**{"conversation_id": "c", "specialist": "swe", "note": "x", **given})
    return store.backups.latest(backup.conversation_id, backup.specialist)


def projects(store, given):
    project = store.chat.create_project(**{"name": "p", **given})
    return next(item for item in store.chat.projects(user_id=project.user_id) if item.id == project.id)


WRITE = {
    write.__name__: write
    for write in (
        promotions, corrections, sessions, audit_log, assertion_events, conversations, messages, model_runs, token_counters,
        message_keywords, context_backups, projects,
    )
}  # fmt: skip
CASES = [(table, column, value) for table, columns in LEGAL.items() for column, legal in columns.items() for value in legal]


def written(store, table, column, value):
    return WRITE[table](store, {NAMES.get(table, {}).get(column, column): value})


def test_each_column_is_tried_or_the_stores_own():
    for table, columns in COLUMNS.items():
        assert set(columns.split()) == LEGAL[table].keys() | OWN.get(table, set()), table


@pytest.mark.drawn(3)
@pytest.mark.parametrize(("table", "column", "value"), CASES, ids=[f"{table}.{column}-{value!r}" for table, column, value in CASES])
def test_each_value_of_a_column_comes_back_from_its_attribute(store, table, column, value):
    read = written(store, table, column, value)
    assert getattr(read, column) == value
    assert type(getattr(read, column)) is type(value) or isinstance(value, (int, float))
    if column != "metadata":
        assert not getattr(read, "metadata", None)  # a column of its own, not a corner of another


@pytest.mark.parametrize("table", COLUMNS)
def test_all_columns_are_attributes_of_one_record(store, table):
    read = WRITE[table](store, {})
    assert [column for column in COLUMNS[table].split() if not hasattr(read, column)] == []


def test_the_time_and_the_hashes_of_an_event_are_the_logs_own(store, store_clock):
    one, two = audit_log(store, {}), audit_log(store, {})
    assert one.created_at == store_clock.now
    assert (len(one.prev_hash), two.prev_hash) == (64, one.curr_hash)


def test_effective_confidence_is_computed_when_read(store, store_clock):
    added = corrections(store, {"confidence": 0.8, "decay_class": "D"})
    assert added.effective_confidence == 0.8
    store_clock.advance(0.5 * 365.25 * 86_400)
    assert store.corrections.get(added.id).effective_confidence == pytest.approx(0.8 / 2.718281828459045)
