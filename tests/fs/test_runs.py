# SPDX-License-Identifier: Apache-2.0
"""Man 7, /runs: making, naming, ending, moving, trashing; what is in a run's directory."""

import errno
import json
import os
import re
import stat
import time

import pytest
from harness import put, read, refused, run as command, text, wait_for

FIELDS = {"name", "experiment", "user", "description", "parent", "status", "start_time", "end_time", "duration", "params",
          "metrics", "history", "tags", "params.json", "metrics.json", "tags.json", "run.json", "artifacts", "inputs",
          "outputs", "children", "procs"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def record(run):
    return json.loads((run / "run.json").read_text())


def test_ids_rise_and_stay(mount):
    ids = [int(mount.new_run().name) for _ in range(3)]
    assert ids == [1, 2, 3]
    (mount / "runs/3").rmdir()
    assert mount.new_run().name == "4"
    assert sorted(os.listdir(mount / "runs")) == ["1", "2", "4"]
    assert os.readlink(mount / "runs/latest") == "4"


def test_directory_of_a_run(run_shared):
    assert set(os.listdir(run_shared)) == FIELDS
    for name in FIELDS:
        path = run_shared / name
        st = os.lstat(path)
        if stat.S_ISREG(st.st_mode):
            data = read(path)
            assert len(data) == st.st_size, name
            assert name == "procs" or data.endswith(b"\n"), name
        else:
            assert stat.S_ISDIR(st.st_mode) and st.st_size == 4096, name
    assert os.stat(run_shared).st_nlink == 2 + sum(os.path.isdir(run_shared / n) for n in FIELDS)


def test_inode_numbers_are_unique(mount):
    mount.new_run()
    mount.new_run()
    put(mount / "runs/1/metrics/a", "1\n")
    seen = {}
    for where, dirs, files in os.walk(mount.path):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            assert st.st_ino not in seen, f"{path} and {seen[st.st_ino]}"
            seen[st.st_ino] = path
        for entry in os.scandir(where):
            assert entry.inode() == os.lstat(entry.path).st_ino, entry.path


def test_fields_can_be_set(run_shared):
    for name, value in (("name", "a name"), ("user", "somebody"), ("description", "two\nlines"), ("name", "")):
        put(run_shared / name, value + "\n")
        assert text(run_shared / name) == value
    assert text(run_shared / "description") == record(run_shared)["description"]


def test_times(run_shared):
    assert TIME.match(text(run_shared / "start_time"))
    assert text(run_shared / "end_time") == "" and text(run_shared / "duration") == ""
    assert record(run_shared)["end_time"] is None
    put(run_shared / "status", "finished\n")
    assert TIME.match(text(run_shared / "end_time"))
    assert 0 <= float(text(run_shared / "duration")) < 60
    for name in ("start_time", "end_time", "duration", "run.json"):
        with refused(errno.EACCES, errno.EPERM):
            put(run_shared / name, "0\n")


@pytest.mark.parametrize("word", ["running", "finished", "failed", "killed", "scheduled", "FINISHED", "Failed", "KILLED "])
def test_status(run_shared, word):
    put(run_shared / "status", word + "\n")
    assert text(run_shared / "status") == word.strip().lower()


@pytest.mark.parametrize("word", ["", "done", "finished failed", "0", "finish"])
def test_no_status(run_shared, word):
    with refused(errno.EINVAL):
        put(run_shared / "status", word + "\n")
    assert text(run_shared / "status") == "running"


def test_sessions(run_shared):
    start = text(run_shared / "start_time")
    put(run_shared / "status", "failed\n")
    time.sleep(0.02)
    put(run_shared / "status", "running\n")
    put(run_shared / "params/late", "1\n")
    assert text(run_shared / "end_time") == ""
    put(run_shared / "status", "finished\n")
    sessions = record(run_shared)["sessions"]
    assert [s["status"] for s in sessions] == ["failed", "finished"]
    assert text(run_shared / "start_time") == start == sessions[0]["start"]
    assert text(run_shared / "end_time") == sessions[1]["end"]


def test_chosen_ids(mount):
    (mount / "runs/my-run").mkdir()
    put(mount / "runs/my-run/params/a", "1\n")
    assert text(mount / "runs/my-run/experiment") == "Default"
    assert os.readlink(mount / "experiments/Default/my-run") == "../../runs/my-run"
    with refused(errno.EEXIST):
        (mount / "runs/my-run").mkdir()
    for bad in ("42", "0" * 32, "a@b", "latest", "self", "new"):
        with refused(errno.EINVAL, errno.EEXIST):
            (mount / "runs" / bad).mkdir()
    (mount / "runs/my-run").rmdir()
    with refused(errno.EEXIST):
        (mount / "runs/my-run").mkdir()


def test_uuid(run_shared, mount_shared):
    uuid = record(run_shared)["uuid"]
    assert re.fullmatch("[0-9a-f]{32}", uuid)
    assert os.readlink(mount_shared / "runs" / uuid) == run_shared.name
    assert read(mount_shared / "runs" / uuid / "name") == read(run_shared / "name")
    assert uuid not in os.listdir(mount_shared / "runs")
    assert not os.path.lexists(mount_shared / "runs" / ("0" * 32))


def test_children(mount_shared):
    parent, child = mount_shared.new_run(), mount_shared.new_run()
    put(child / "parent", parent.name + "\n")
    assert os.listdir(parent / "children") == [child.name]
    assert os.readlink(parent / "children" / child.name) == f"../../{child.name}"
    assert (parent / "children" / child.name / "name").exists()
    for bad in ("nosuch", "99999", child.name):
        with refused(errno.EINVAL, errno.ENOENT):
            put(child / "parent", bad + "\n")
    with refused(errno.EINVAL):
        put(parent / "parent", child.name + "\n")
    put(child / "parent", "\n")
    assert os.listdir(parent / "children") == []
    with refused(errno.EPERM):
        os.symlink("x", parent / "children/x")


def test_nothing_else_can_be_made(run_shared):
    with refused(errno.EPERM):
        put(run_shared / "other", "x")
    with refused(errno.EPERM):
        (run_shared / "dir").mkdir()
    for name in ("name", "status", "run.json", "start_time"):
        with refused(errno.EPERM):
            (run_shared / name).unlink()
    for name in ("params", "artifacts", "children"):
        with refused(errno.EPERM, errno.ENOTEMPTY):
            (run_shared / name).rmdir()
    with refused(errno.EPERM):
        os.rename(run_shared / "name", run_shared / "nom")
    with refused(errno.EXDEV, errno.EPERM):
        os.rename(run_shared / "name", run_shared / "artifacts/name")


def test_rename_of_a_run_is_refused(run_shared, mount_shared):
    with refused(errno.EPERM):
        os.rename(run_shared, mount_shared / "runs/other")


def test_trash_and_back(mount):
    run, other = mount.new_run(), mount.new_run()
    put(run / "params/p", "1\n")
    put(other / "parent", run.name + "\n")
    put(run / "artifacts/f", "bytes")
    run.rmdir()
    assert not run.exists() and not os.path.lexists(mount / "experiments/Default/1")
    assert read(mount / "trash/runs/1/params/p") == b"1\n"
    assert read(mount / "trash/runs/1/artifacts/f") == b"bytes"
    with refused(errno.EPERM, errno.EROFS):
        put(mount / "trash/runs/1/params/q", "1\n")
    os.rename(mount / "trash/runs/1", run)
    assert text(run / "params/p") == "1"
    assert os.readlink(mount / "experiments/Default/1") == "../../runs/1"
    os.rename(run, mount / "trash/runs/1")
    os.rmdir(mount / "trash/runs/1")
    assert not os.path.lexists(mount / "trash/runs/1") and not run.exists()
    assert text(other / "parent") in ("", "1")


def test_times_of_files(run_shared):
    put(run_shared / "metrics/a", "1\n")
    before = os.stat(run_shared / "metrics/a").st_mtime
    time.sleep(0.02)
    put(run_shared / "metrics/b", "1\n")
    assert os.stat(run_shared / "metrics/a").st_mtime == before
    assert os.stat(run_shared / "metrics/b").st_mtime > before
    last = os.stat(run_shared / "metrics/b").st_mtime
    wait_for(lambda: abs(os.stat(run_shared).st_mtime - last) < 0.002, what="the run's mtime")
    put(run_shared / "artifacts/file", "bytes")
    changed = os.stat(run_shared / "artifacts/file").st_mtime
    wait_for(lambda: abs(os.stat(run_shared).st_mtime - changed) < 0.002, what="the run's mtime")


def test_lineage_by_hand(mount):
    run = mount.new_run()
    put(mount / "data/iris.csv", "1,2\n")
    put(mount / "data/iris.csv", "1,3\n")
    os.symlink("../../../../data/iris@v1.csv", run / "inputs/data/iris@v1.csv")
    os.symlink(mount / "data/iris@latest.csv", run / "outputs/data/x")
    assert os.listdir(run / "inputs/data") == ["iris@v1.csv"]
    assert os.listdir(run / "outputs/data") == ["iris@v2.csv"]
    assert read(run / "inputs/data/iris@v1.csv") == b"1,2\n"
    link = run / "inputs/data/iris@v1.csv"
    assert os.lstat(link).st_size == len(os.readlink(link))
    for bad in ("/etc/passwd", "../../../../data/none@v1.csv", "iris@v9.csv", "../../../../models/iris@v1.csv"):
        with refused(errno.EINVAL):
            os.symlink(bad, run / "inputs/data/y")
    with refused(errno.EPERM):
        put(run / "inputs/data/file", "x")
    os.rename(mount / "data/iris.csv", mount / "data/flowers.csv")
    assert os.listdir(run / "inputs/data") == ["flowers@v1.csv"]
    assert read(run / "inputs/data/flowers@v1.csv") == b"1,2\n"
    os.rename(mount / "data/flowers.csv", mount / "trash/data/flowers.csv")
    assert read(run / "inputs/data/flowers@v1.csv") == b"1,2\n"
    os.rename(mount / "trash/data/flowers.csv", mount / "data/flowers.csv")
    (run / "outputs/data/flowers@v2.csv").unlink()
    assert os.listdir(run / "outputs/data") == []
    put(run / "status", "finished\n")
    with refused(errno.EPERM, errno.EROFS):
        (run / "inputs/data/flowers@v1.csv").unlink()
    with refused(errno.EPERM, errno.EROFS):
        os.symlink("../../../../data/flowers@v2.csv", run / "inputs/data/z")
    assert record(run)["inputs"]["data"]


def test_ten_thousand_runs_list(mount):
    for _ in range(300):
        mount.new_run()
    assert sorted(map(int, os.listdir(mount / "runs"))) == list(range(1, 301))
    assert len(command(["ls", "-l", str(mount / "experiments/Default")]).stdout.splitlines()) == 300 + 4 + 1
