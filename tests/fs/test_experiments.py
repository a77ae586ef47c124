# SPDX-License-Identifier: Apache-2.0
"""Man 7, /experiments: making, renaming, removing; moving runs between them."""

import errno
import os

import pytest
from harness import put, read, refused, text


def test_default_is_there(mount):
    assert os.listdir(mount / "experiments") == ["Default"]
    with refused(errno.EPERM, errno.EBUSY):
        (mount / "experiments/Default").rmdir()
    with refused(errno.EPERM, errno.EBUSY):
        os.rename(mount / "experiments/Default", mount / "experiments/other")


def test_make_rename_remove(mount):
    e = mount / "experiments/first"
    e.mkdir()
    with refused(errno.EEXIST):
        e.mkdir()
    put(e / "description", "what it is for\n")
    put(e / "tags/team", "flowers\n")
    os.rename(e, mount / "experiments/second")
    assert not e.exists()
    e = mount / "experiments/second"
    assert text(e / "description") == "what it is for" and text(e / "tags/team") == "flowers"
    run = mount.new_run("second")
    assert text(run / "experiment") == "second"
    with refused(errno.ENOTEMPTY):
        e.rmdir()
    run.rmdir()
    e.rmdir()
    assert os.listdir(mount / "experiments") == ["Default"]


@pytest.mark.parametrize("name", ["a", "with space", "été", "x" * 240, "a;b", "42"])
def test_name(mount_shared, name):
    (mount_shared / "experiments" / name).mkdir()
    assert name in os.listdir(mount_shared / "experiments")
    assert text(mount_shared.new_run(name) / "experiment") == name


@pytest.mark.parametrize("name", ["x" * 241, b"\xff", "a\nb"])
def test_no_name(mount_shared, name):
    with refused(errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ):
        os.mkdir(os.fsencode(mount_shared / "experiments") + b"/" + os.fsencode(name))


def test_what_is_in_one(mount_shared):
    e = mount_shared / "experiments/Default"
    run = mount_shared.new_run()
    assert {"description", "runs.csv", "runs.tsv", "tags", run.name} <= set(os.listdir(e))
    assert "new" not in os.listdir(e)
    assert os.readlink(e / run.name) == f"../../runs/{run.name}"
    assert os.lstat(e / run.name).st_size == len(f"../../runs/{run.name}")
    for name in ("description", "runs.csv", "runs.tsv"):
        assert len(read(e / name)) == os.stat(e / name).st_size
        with refused(errno.EPERM):
            (e / name).unlink()
    for name in ("runs.csv", "runs.tsv"):
        with refused(errno.EACCES, errno.EPERM):
            put(e / name, "x")
    with refused(errno.EPERM):
        (e / "dir").mkdir()
    with refused(errno.EPERM):
        put(e / "file", "x")
    with refused(errno.EPERM):
        os.symlink("../../runs/1", e / "x")
    with refused(errno.EPERM):
        (e / run.name).unlink()


def test_new(mount):
    new = mount / "experiments/Default/new"
    for _ in range(3):
        os.stat(new)
    assert os.listdir(mount / "runs") == []
    assert read(new) == b"1\n"
    with refused(errno.EACCES, errno.EPERM):
        put(new, "x", os.O_WRONLY)
    assert os.listdir(mount / "runs") == ["1"]
    assert not (mount / "experiments/none/new").exists()


def test_reading_makes_nothing(mount):
    mount.new_run()
    os.system(f"find {mount} -type f -exec cat {{}} + > /dev/null; grep -r nothing {mount} > /dev/null; ls -laR {mount} > /dev/null")
    assert os.listdir(mount / "runs") == ["1"]


def test_moving_a_run(mount):
    for name in ("A", "B"):
        (mount / "experiments" / name).mkdir()
    run = mount.new_run("A")
    os.rename(mount / "experiments/A" / run.name, mount / "experiments/B" / run.name)
    assert text(run / "experiment") == "B"
    assert not os.path.lexists(mount / "experiments/A" / run.name)
    put(run / "status", "finished\n")
    put(run / "experiment", "A\n")
    assert os.path.lexists(mount / "experiments/A" / run.name)
    assert not os.path.lexists(mount / "experiments/B" / run.name)
    with refused(errno.ENOENT, errno.EINVAL):
        put(run / "experiment", "nosuch\n")
    with refused(errno.EPERM):
        os.rename(mount / "experiments/A" / run.name, mount / "experiments/A/other")
    with refused(errno.EPERM, errno.EXDEV):
        os.rename(mount / "experiments/A" / run.name, mount / "data/x")
    assert text(run / "experiment") == "A"


def test_trash_with_runs_and_back(mount):
    (mount / "experiments/E").mkdir()
    run = mount.new_run("E")
    put(run / "params/p", "1\n")
    os.rename(mount / "experiments/E", mount / "trash/experiments/E")
    assert not run.exists()
    assert not (mount / "experiments/E").exists()
    assert "E" not in read(mount / "runs.csv").decode()
    os.rename(mount / "trash/experiments/E", mount / "experiments/F")
    assert text(run / "params/p") == "1"
    assert text(run / "experiment") == "F"
    assert os.path.lexists(mount / "experiments/F" / run.name)
