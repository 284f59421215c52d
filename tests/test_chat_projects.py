"""Projects: names and aliases within a user, the active project, and what is in none."""

from __future__ import annotations

import pytest

from memstore import Exists, Invalid, NotFound, VersionConflict, open_store


def ids(records):
    return [record.id for record in records]


def test_every_column_of_a_project_is_set_and_read_back(chat, store_clock):
    made = chat.create_project("Право", user_id="ana", id="p-1", description="", status="on-hold", metadata={"k": [0]})
    assert made.to_dict() == {
        "id": "p-1",
        "user_id": "ana",
        "name": "Право",
        "description": "",
        "status": "on-hold",
        "aliases": [],
        "metadata": {"k": [0]},
        "version": 1,
        "created_at": store_clock.now,
        "updated_at": store_clock.now,
    }
    assert made.project_id == "p-1"
    assert chat.projects() == [made] == chat.projects(user_id="ana") and chat.projects(user_id="local") == []


def test_a_project_from_elsewhere_keeps_its_times(chat, store_clock):
    old = chat.create_project("old", created_at=5, updated_at=7.5)
    assert (old.created_at, old.updated_at) == (5.0, 7.5)
    assert chat.create_project("older", created_at=5).updated_at == 5.0
    assert chat.create_project("new", updated_at=9).created_at == store_clock.now


def test_names_are_unique_within_a_user_aliases_included(chat):
    alpha = chat.create_project("alpha")
    assert chat.alias("alpha", "a", "first", "a").aliases == ["a", "first"]
    chat.create_project("beta")
    for name in ("alpha", "a", alpha.id):
        with pytest.raises(Exists, match="alpha"):
            chat.create_project(name)
        with pytest.raises(Exists, match="alpha"):
            chat.alias("beta", "free", name)
    assert chat.get_project("beta").aliases == []
    assert chat.alias("a", "first", "alpha") == chat.get_project("alpha")
    assert chat.create_project("alpha", user_id="ana").id != alpha.id


def test_a_project_that_is_there_is_gone_on_with_when_asked(chat, store_clock):
    hers = chat.create_project("alpha", user_id="ana")
    made = chat.create_project("alpha", exist_ok=True, description="d")
    assert made.id != hers.id and made.description == "d"
    chat.alias("alpha", "a")
    store_clock.advance(1)
    there = chat.get_project("alpha")
    assert chat.create_project("alpha", exist_ok=True, id="other", description="e") == there
    assert chat.create_project("a", exist_ok=True) == there
    for name in ("alpha", "a"):
        with pytest.raises(Exists, match="means the project 'alpha'.* already; pass exist_ok=True to go on with it"):
            chat.create_project(name)
    with pytest.raises(Exists, match="choose another name"):
        chat.create_project(made.id, exist_ok=True)
    with pytest.raises(Invalid, match="status"):
        chat.create_project("alpha", exist_ok=True, status="On Hold")
    assert chat.projects() == [hers, there]


def test_an_id_a_name_or_an_alias_becomes_the_id_and_the_rest_passes(chat):
    mine, hers = chat.create_project("alpha"), chat.create_project("alpha", user_id="ana")
    only_hers = chat.create_project("beta", user_id="ana")
    chat.alias("alpha", "a")
    assert [chat.canonical(name) for name in (mine.id, "alpha", "a", "beta")] == [mine.id, mine.id, mine.id, only_hers.id]
    assert chat.canonical("alpha", "ana") == hers.id and chat.canonical(hers.id, "local") == hers.id
    assert chat.canonical("nobody's") == "nobody's" and chat.canonical(None) is None
    for wrong in ("", 5, "a\0"):
        with pytest.raises(Invalid, match="project"):
            chat.canonical(wrong)


def test_asking_for_a_project_does_not_make_the_room():
    with open_store() as store:
        assert store.chat.canonical("x") == "x"
        assert store.query("SELECT name FROM sqlite_schema WHERE name = 'projects'") == []


def test_every_boundary_takes_id_name_or_alias(chat):
    project = chat.create_project("alpha")
    chat.alias("alpha", "a")
    for number, name in enumerate((project.id, "alpha", "a")):
        conversation = chat.create_conversation(id=str(number), project=name)
        assert conversation.project_id == project.id
        chat.append(conversation.id, "assistant", "word")
    for name in (project.id, "alpha", "a"):
        assert ids(chat.conversations(project=name)) == ["2", "1", "0"]
        assert len(chat.search("word", project=name)) == 3
        assert chat.move("0", None).project_id is None
        assert chat.move("0", name).project_id == project.id
    assert chat.conversations(project="unknown") == [] == chat.search("word", project="unknown")


def test_conversations_follow_a_name_that_is_registered_later(chat):
    chat.create_conversation(id="early", project="alpha")
    chat.create_conversation(id="hers", project="alpha", user_id="ana")
    chat.create_conversation(id="other", project="al")
    project = chat.create_project("alpha")
    chat.alias("alpha", "al")
    assert set(ids(chat.conversations(project="alpha"))) == {"early", "other"}
    assert chat.get_conversation("hers").project_id == "alpha"
    assert chat.get_conversation("other").project_id == project.id


def test_the_active_project_takes_new_conversations_and_hides_the_others(chat):
    project = chat.create_project("alpha")
    chat.create_conversation(id="before")
    chat.create_conversation(id="hers", user_id="ana")
    assert chat.activate("alpha") == project == chat.active_project()
    assert chat.create_conversation(id="inside").project_id == project.id
    assert chat.create_conversation(id="elsewhere", project="beta").project_id == "beta"
    assert chat.create_conversation(id="hers too", user_id="ana").project_id is None
    assert ids(chat.conversations(user_id="local")) == ["inside"]
    assert ids(chat.conversations()) == ["hers too", "inside", "hers"]
    assert ids(chat.conversations(project="beta")) == ["elsewhere"]
    assert chat.activate(None) is None and chat.active_project() is None
    assert len(chat.conversations()) == 5
    assert chat.create_conversation().project_id is None


def test_an_update_is_audited_and_guarded_by_its_version(store):
    chat = store.chat
    project = chat.create_project("alpha", metadata={"a": 1})
    changed = chat.update_project("alpha", name="beta", description="d", status="done", expected_version=1, actor="ana", note="why")
    assert (changed.name, changed.description, changed.status, changed.metadata, changed.version) == ("beta", "d", "done", {"a": 1}, 2)
    with pytest.raises(VersionConflict) as caught:
        chat.update_project("beta", description="late", expected_version=1)
    assert caught.value.current == changed
    [event] = store.audit.find(event_type="project.update")
    assert (event.entity_id, event.actor, event.note, event.after["name"]) == (project.id, "ana", "why", "beta")
    assert chat.canonical("alpha") == "alpha"


def test_wrong_calls_are_refused_by_name(store):
    chat = store.chat
    chat.create_project("alpha")
    chat.create_project("beta")
    before = store.query("SELECT * FROM projects")
    for call in (
        lambda: chat.create_project(""),
        lambda: chat.create_project("x", status="On Hold"),
        lambda: chat.create_project("x", description=None),
        lambda: chat.create_project("x", metadata=[]),
        lambda: chat.create_project("x", user_id=" "),
        lambda: chat.alias("alpha", ""),
        lambda: chat.update_project("alpha", name=" "),
        lambda: chat.update_project("alpha", expected_version="1"),
        lambda: chat.update_project("alpha", user_id=5),
        lambda: chat.get_project("alpha", user_id=["local"]),
        lambda: chat.alias("alpha", "x", user_id=""),
        lambda: chat.canonical("alpha", 5),
    ):
        with pytest.raises(Invalid):
            call()
    for call in (
        lambda: chat.alias("alpa", "x"),
        lambda: chat.activate("alpa"),
        lambda: chat.get_project("alpa"),
        lambda: chat.update_project("alpa"),
    ):
        with pytest.raises(NotFound, match="no project 'alpa' .nearest: 'alpha'.; store.chat.projects"):
            call()
    with pytest.raises(Exists):
        chat.update_project("alpha", name="beta")
    assert store.query("SELECT * FROM projects") == before and chat.active_project() is None
