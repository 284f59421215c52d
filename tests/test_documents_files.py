"""Files and folders as documents: what is taken in, what is left out and why, and what a second time finds."""

from __future__ import annotations

import hashlib
import os
import sys

import pytest

from memstore import Invalid, open_store

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and permissions of POSIX")


@pytest.fixture
def folder(tmp_path):
    """A folder with a little of everything."""
    root = tmp_path / "notes"
    for name, content in {
        "README.md": b"# Notes\n\nAmbergris.\n", "src/main.py": b"def lamp():\n    return 'cobalt'\n", "src/empty.py": b"",
        "src/deep/data.txt": "Größe\r\n".encode(), ".git/config": b"[hidden]", ".hidden.md": b"hidden", "node_modules/a.js": b"hidden",
        "src/__pycache__/main.pyc": b"hidden", "photo.jpg": b"\xff\xd8\0\0", "latin.txt": "Größe".encode("latin-1"),
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


TAKEN = ["README.md", "src/deep/data.txt", "src/empty.py", "src/main.py"]


def names(store, **given):
    return sorted(item.relative_path for item in store.documents.find(**given))


def counts(report):
    return report.added, report.changed, report.unchanged, report.removed, report.skipped


def rows(store):
    return [store.query(f"SELECT * FROM {name}") for name in ("documents", "chunks")]


def test_a_folder_is_taken_in_with_all_that_is_text(store, folder):
    report = store.documents.add_files(folder)
    assert counts(report) == (4, 0, 0, 0, 2)
    assert {os.path.basename(place): why for place, why in report.reasons.items()} == {
        "photo.jpg": "it is no text: it holds NUL bytes", "latin.txt": "it is no text in UTF-8, as its byte 2 shows",
    }  # fmt: skip
    assert names(store) == TAKEN
    place = folder.resolve() / "src" / "main.py"
    item = store.documents.first(uri=place.as_posix())
    assert (item.uri, item.file_path, item.base_path) == (place.as_posix(), str(place), str(folder.resolve()))
    assert (item.title, item.display_name, item.suffix, item.mime_type) == ("src/main.py", "main.py", ".py", "text/x-python")
    assert (item.size_bytes, item.file_modified_at) == (32, os.stat(place).st_mtime)
    assert (item.source_type, item.content_hash) == ("local_files", hashlib.sha256(place.read_bytes()).hexdigest())
    (chunk,) = store.documents.chunks(item.id)
    assert chunk.heading_path == "def lamp"
    assert store.documents.text(store.documents.find(query="data.txt")[0].id) == "Größe\r\n"


def test_what_is_unchanged_writes_nothing_whatever_its_time(store, folder):
    store.documents.add_files(folder)
    before = rows(store)
    os.utime(folder / "README.md", (1, 1))
    assert counts(store.documents.add_files(folder)) == (0, 0, 4, 0, 2)
    assert rows(store) == before


def test_what_has_changed_is_told_by_its_bytes_and_not_by_its_time(store, folder):
    store.documents.add_files(folder)
    about = os.stat(folder / "README.md")
    (folder / "README.md").write_bytes(b"# Notes\n\nDuralumin.\n")
    os.utime(folder / "README.md", (about.st_atime, about.st_mtime))
    assert counts(store.documents.add_files(folder, actor="ann", note="edited")) == (0, 1, 3, 0, 2)
    assert [len(store.documents.search(word)) for word in ("ambergris", "duralumin")] == [0, 1]
    (event,) = store.audit.find()
    assert (event.event_type, event.actor, event.note) == ("document.update", "ann", "edited")


def test_what_another_one_brought_meanwhile_is_unchanged(store, folder, monkeypatch):
    store.documents.add_files(folder)
    monkeypatch.setattr(type(store.documents), "_hashes", lambda *_: {})  # it looked before the other one came
    (folder / "README.md").write_text("said in other words", encoding="utf-8")
    store.documents.remove(store.documents.search("cobalt")[0].document.id)
    assert counts(store.documents.add_files(folder)) == (1, 1, 2, 0, 2)


def test_what_is_gone_is_hidden_when_asked_and_comes_back(store, folder, tmp_path):
    (tmp_path / "notes-of-others").mkdir()
    (tmp_path / "notes-of-others" / "a.md").write_text("theirs")
    store.documents.add_files([folder, tmp_path / "notes-of-others"])
    store.documents.add_text("no file", uri=f"{folder.as_posix()}/README.txt")
    (folder / "README.md").unlink()
    (tmp_path / "notes-of-others" / "a.md").unlink()
    assert counts(store.documents.add_files(folder)) == (0, 0, 3, 0, 2)
    assert counts(store.documents.add_files(folder / "src", prune=True)) == (0, 0, 3, 0, 0)
    assert counts(store.documents.add_files(folder, project="p", prune=True)) == (4 - 1, 0, 0, 0, 2)
    assert counts(store.documents.add_files(folder, prune=True, actor="ann", note="gone")) == (0, 0, 3, 1, 2)
    (event,) = store.audit.find()
    assert (event.event_type, event.actor, event.note) == ("document.remove", "ann", "gone")
    assert "README.md" not in names(store, filters={"source_type": "local_files"}) and "a.md" in names(store, source_type="local_files")
    (folder / "README.md").write_bytes(b"# Notes\n\nAmbergris.\n")
    assert counts(store.documents.add_files(folder, prune=True)) == (1, 0, 3, 0, 2)


def test_what_cannot_be_looked_at_is_not_gone(store, folder, monkeypatch):
    store.documents.add_files(folder)
    (folder / "README.md").unlink()
    real = os.stat

    def failing(place, *args, **more):
        if str(place).endswith("README.md"):
            raise PermissionError(13, "Permission denied")
        return real(place, *args, **more)

    monkeypatch.setattr(os, "stat", failing)
    assert store.documents.add_files(folder, prune=True).removed == 0


@posix
def test_links_pipes_and_what_may_not_be_read_are_left_out_with_a_reason(store, folder, tmp_path, monkeypatch):
    os.symlink(folder, folder / "src" / "loop")
    os.symlink(folder / "README.md", folder / "copy.md")
    os.symlink(folder / "nowhere", folder / "broken.md")
    os.mkfifo(folder / "pipe")
    (folder / "large.txt").write_bytes(b"x" * 101)
    report = store.documents.add_files(folder, max_bytes=100)
    told = {os.path.basename(place): why for place, why in report.reasons.items()}
    assert {name: why for name, why in told.items() if name not in ("photo.jpg", "latin.txt")} == {
        "loop": "it is a link to a folder, which may lead anywhere", "broken.md": "it cannot be read: No such file or directory",
        "pipe": "it is not a regular file", "large.txt": "it has 101 bytes; at most 100 are taken in",
    }  # fmt: skip
    assert names(store) == sorted([*TAKEN, "copy.md"])
    listing = os.listdir

    def refused(place):
        if str(place).endswith("src"):
            raise PermissionError(13, "Permission denied")
        return listing(place)

    monkeypatch.setattr(os, "listdir", refused)
    report = store.documents.add_files(folder, prune=True)
    assert (report.removed, report.reasons[str(folder.resolve() / "src")]) == (0, "it cannot be listed: Permission denied")


@pytest.mark.parametrize("now", [b"ambergris\0", b"ambergris \xff", b"ambergris " * 100])
def test_what_a_file_said_that_is_no_text_now_is_found_no_longer(store, folder, now):
    (folder / "secret.md").write_bytes(b"ambergris")
    store.documents.add_files(folder)
    hidden = store.documents.find(query="secret.md")[0]
    (folder / "secret.md").write_bytes(now)
    assert counts(store.documents.add_files(folder, max_bytes=900, actor="ann")) == (0, 0, 4, 1, 3)
    assert [hit.document.relative_path for hit in store.documents.search("ambergris")] == ["README.md"]
    (event,) = store.audit.find()
    assert (event.event_type, event.entity_id, event.actor) == ("document.remove", hidden.id, "ann")
    before = rows(store)
    assert counts(store.documents.add_files(folder, max_bytes=900)) == (0, 0, 4, 0, 3)
    assert counts(store.documents.add_files(folder / "secret.md", project="p", max_bytes=900)) == (0, 0, 0, 0, 1)
    assert rows(store) == before
    (folder / "secret.md").write_bytes(b"duralumin")
    assert counts(store.documents.add_files(folder)) == (1, 0, 4, 0, 2)
    assert store.documents.search("duralumin")[0].document.id == hidden.id


def test_what_cannot_be_read_stays_as_it_was(store, folder, monkeypatch):
    import builtins

    store.documents.add_files(folder)
    real = open

    def failing(place, *args, **more):
        if str(place).endswith("README.md"):
            raise PermissionError(13, "Permission denied")
        return real(place, *args, **more)

    monkeypatch.setattr(builtins, "open", failing)
    assert counts(store.documents.add_files(folder, prune=True)) == (0, 0, 3, 0, 3)
    assert len(store.documents.search("ambergris")) == 1


def test_what_was_removed_comes_back_with_its_file(store, folder):
    store.documents.add_files(folder)
    item = store.documents.find(query="README.md")[0]
    store.documents.remove(item.id)
    assert counts(store.documents.add_files(folder)) == (1, 0, 3, 0, 2)
    assert store.documents.get(item.id).is_deleted is False and len(store.documents.search("ambergris")) == 1


def test_a_database_in_use_is_never_opened(tmp_path):
    folder = tmp_path.resolve()
    (folder / "a.md").write_text("text")
    with open_store(folder / "agent.db") as store:
        os.symlink(folder / "agent.db", folder / "notes.md")
        report = store.documents.add_files(folder)
        told = {os.path.basename(place) for place in report.reasons}
        assert (report.added, told) == (1, {"agent.db", "agent.db-wal", "agent.db-shm", "notes.md"})
        assert all("database" in why for why in report.reasons.values())


def test_single_files_are_taken_in_once_however_they_are_named(store, folder, monkeypatch):
    report = store.documents.add_files([folder / "README.md", str(folder / "README.md"), folder / "src"])
    assert counts(report) == (4, 0, 0, 0, 0)
    monkeypatch.chdir(folder)
    assert counts(store.documents.add_files("README.md")) == (0, 0, 1, 0, 0)
    assert counts(store.documents.add_files([])) == (0, 0, 0, 0, 0)
    assert counts(store.documents.add_files(".hidden.md")) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("paths", [None, 7, [7], "", ["a\0b"], b"\xff"])
def test_what_is_no_path_is_refused(store, paths):
    with pytest.raises(Invalid):
        store.documents.add_files(paths)


def test_a_path_that_does_not_exist_is_named_before_anything_is_written(store, folder):
    with pytest.raises(Invalid, match="nowhere"):
        store.documents.add_files([folder, folder / "nowhere"])
    assert store.documents.count(include_deleted=True) == 0


def test_progress_and_batches(store, folder, monkeypatch):
    from memstore.documents import files

    monkeypatch.setattr(files, "BATCH_FILES", 2)
    told = []
    store.documents.add_files(folder, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6) and len(told) >= 2 and told == sorted(told)


def test_what_interrupts_leaves_whole_files(store, folder, monkeypatch):
    from memstore.documents import files

    monkeypatch.setattr(files, "BATCH_FILES", 1)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.documents.add_files(folder, progress=interrupt)
    (item,) = store.documents.find()
    assert store.documents.text(item.id) == (folder / item.relative_path).read_bytes().decode()
    assert counts(store.documents.add_files(folder)) == (3, 0, 1, 0, 2)


def test_users_and_projects_have_files_of_their_own(store, folder):
    project = store.chat.create_project("Apollo")
    assert store.documents.add_files(folder, project="Apollo", user_id="ann").added == 4
    assert store.documents.add_files(folder, project=project.id, user_id="ann").unchanged == 4
    assert store.documents.add_files(folder).added == 4
    assert {(item.project_id, item.user_id) for item in store.documents.find()} == {(project.id, "ann"), (None, None)}
