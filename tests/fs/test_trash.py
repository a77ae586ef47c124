# SPDX-License-Identifier: Apache-2.0
"""/trash: what was deleted comes back, or is destroyed, and nothing else destroys."""

import errno
import os

import pytest

from harness import put, read, refused, sh, text


def names(path):
    return sorted(os.listdir(path))


def test_the_trash_has_four_directories(mount_shared):
    assert names(mount_shared / "trash") == ["data", "experiments", "models", "runs"]


@pytest.mark.parametrize("space", ["data", "models"])
def test_a_dataset_goes_and_comes_back_with_all_it_has(mount, space):
    at, trash = mount / space, mount / "trash" / space
    put(at / "x.csv", "1\n")
    put(at / "x.csv", "2\n")
    os.symlink("x@v1.csv", at / "x@best.csv")
    os.rename(at / "x.csv", trash / "x.csv")
    assert names(at) == []
    assert names(trash) == ["x.csv"]
    assert read(trash / "x.csv") == b"2\n"
    os.rename(trash / "x.csv", at / "x.csv")
    assert read(at / "x@best.csv") == b"1\n"
    assert names(trash) == []
    put(at / "x.csv", "3\n")
    assert read(at / "x@v3.csv") == b"3\n"


def test_names_in_the_trash_stay_apart(mount):
    for n in (1, 2, 3):
        put(mount / "data/x.csv", f"{n}\n")
        sh(f"mv {mount}/data/x.csv {mount}/trash/data/")
    assert names(mount / "trash/data") == ["x.csv", "x.csv.2", "x.csv.3"]
    os.rename(mount / "trash/data/x.csv.2", mount / "data/x.csv")
    assert read(mount / "data/x.csv") == b"2\n"


def test_rm_in_the_trash_destroys(mount):
    os.mkdir(mount / "data/d")
    os.mkdir(mount / "data/d/sub")
    put(mount / "data/d/sub/x", "1")
    put(mount / "data/d/.commit", "c")
    put(mount / "data/f.csv", "1")
    os.rename(mount / "data/d", mount / "trash/data/d")
    os.rename(mount / "data/f.csv", mount / "trash/data/f.csv")
    sh(f"rm -rf {mount}/trash/data/d {mount}/trash/data/f.csv")
    assert names(mount / "trash/data") == []
    put(mount / "data/f.csv", "again")
    assert names(mount / "data") == ["f.csv", "f@latest.csv", "f@v2.csv"]  # a number is never used twice


def test_one_version(mount):
    for n in (1, 2, 3):
        put(mount / "data/x.csv", f"{n}\n")
    os.rename(mount / "data/x@v2.csv", mount / "trash/data/x@v2.csv")
    assert names(mount / "data") == ["x.csv", "x@latest.csv", "x@v1.csv", "x@v3.csv"]
    assert read(mount / "trash/data/x@v2.csv") == b"2\n"
    with refused(errno.EPERM):
        os.rename(mount / "trash/data/x@v2.csv", mount / "data/other.csv")
    os.rename(mount / "trash/data/x@v2.csv", mount / "data/x@v2.csv")
    assert read(mount / "data/x@v2.csv") == b"2\n"
    os.rename(mount / "data/x@v2.csv", mount / "trash/data/x@v2.csv")
    os.unlink(mount / "trash/data/x@v2.csv")
    assert not os.path.lexists(mount / "data/x@v2.csv")


def test_a_version_that_is_needed_stays(mount, run):
    put(mount / "data/x.csv", "1\n")
    put(mount / "data/x.csv", "2\n")
    os.symlink("x@v1.csv", mount / "data/x@best.csv")
    with refused(errno.EBUSY, errno.EPERM):
        os.rename(mount / "data/x@v1.csv", mount / "trash/data/x@v1.csv")
    os.unlink(mount / "data/x@best.csv")
    os.symlink(mount / "data/x@v1.csv", run / "inputs/data/x@v1.csv")
    with refused(errno.EBUSY, errno.EPERM):
        os.rename(mount / "data/x@v1.csv", mount / "trash/data/x@v1.csv")
    assert "run" in mount.last_error()


def test_a_run_goes_and_comes_back(mount, run):
    put(run / "params/lr", "0.1")
    put(run / "artifacts/a.txt", "bytes")
    os.mkdir(run / "artifacts/sub")
    os.rmdir(run)
    assert run.name not in os.listdir(mount / "runs")
    assert not os.path.lexists(mount / "experiments/Default" / run.name)
    assert text(mount / "trash/runs" / run.name / "params/lr") == "0.1"
    os.rename(mount / "trash/runs" / run.name, run)
    assert text(run / "params/lr") == "0.1"
    assert read(run / "artifacts/a.txt") == b"bytes"
    assert os.path.lexists(mount / "experiments/Default" / run.name)


def test_a_finished_run_in_the_trash_can_be_destroyed(mount, run):
    put(run / "params/lr", "0.1")
    put(run / "metrics/loss", "1")
    put(run / "tags/t", "x")
    os.mkdir(run / "artifacts/sub")
    put(run / "artifacts/sub/a.txt", "bytes")
    put(run / "status", "finished")
    os.rmdir(run)
    sh(f"rm -rf {mount}/trash/runs/{run.name}")
    assert names(mount / "trash/runs") == []
    with refused(errno.ENOENT):
        os.stat(run)


def test_an_experiment_takes_its_runs_along(mount):
    os.mkdir(mount / "experiments/E")
    run = mount.new_run("E")
    with refused(errno.ENOTEMPTY):
        os.rmdir(mount / "experiments/E")
    os.rename(mount / "experiments/E", mount / "trash/experiments/E")
    assert run.name not in os.listdir(mount / "runs")
    assert names(mount / "experiments") == ["Default"]
    os.rename(mount / "trash/experiments/E", mount / "experiments/E2")
    assert run.name in os.listdir(mount / "runs")
    assert text(run / "experiment") == "E2"


def test_an_experiment_can_be_destroyed(mount):
    os.mkdir(mount / "experiments/E")
    run = mount.new_run("E")
    put(run / "artifacts/x", "1")
    os.rename(mount / "experiments/E", mount / "trash/experiments/E")
    os.rmdir(mount / "trash/experiments/E")
    assert names(mount / "trash/experiments") == []
    assert run.name not in os.listdir(mount / "runs")


def test_what_lies_in_the_trash_goes_back_where_it_came_from(mount, run):
    put(mount / "data/x.csv", "1\n")
    os.rename(mount / "data/x.csv", mount / "trash/data/x.csv")
    os.rmdir(run)
    with refused(errno.EXDEV):
        os.rename(mount / "trash/data/x.csv", mount / "models/x.csv")
    with refused(errno.EPERM):
        os.rename(mount / "trash/runs" / run.name, mount / "runs/another")
