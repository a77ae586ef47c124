# SPDX-License-Identifier: Apache-2.0
"""tools/demo.sh shows what it promises, leaves nothing behind, and says so where it cannot run."""

import os
import re
import subprocess
import time

import harness
import pytest

from docs.test_readme import looks_like_the_sources


@pytest.fixture
def here(work):
    why = harness.why_no_mounts()
    if why:
        pytest.skip(why)
    return looks_like_the_sources(work)


def demo(here, check=True, **env):
    environ = {k: v for k, v in os.environ.items() if k != "KEEP"}
    return harness.run(["bash", "tools/demo.sh"], cwd=here, env=dict(environ, **env), check=check)


def left(here):
    return sorted(p.name for p in (here / "mountpoints").iterdir())


def commands(said):
    """[(command, what it said)], in order."""
    parts = re.split(r"^\$ (.*(?:\n> .*)*)\n", said, flags=re.M)[1:]
    return [(re.sub(r"\n> ", "\n", command), re.split(r"\n# |\n\n", out)[0].rstrip("\n"))
            for command, out in zip(parts[::2], parts[1::2])]


@pytest.fixture(scope="module")
def said():
    why = harness.why_no_mounts()
    if why:
        pytest.skip(why)
    with harness.work_dir("demo") as work:
        here = looks_like_the_sources(work)
        start = time.monotonic()
        p = demo(here)
        assert time.monotonic() - start < 30 * harness.SLOWER
        assert p.stderr.count("\n") == 1 and p.stderr.endswith(": clean\n"), p.stderr
        assert left(here) == []
        return commands(p.stdout), p.stdout


def answer(said, start):
    found = [out for command, out in said[0] if command.startswith(start)]
    assert found, f"the demo has no command '{start}'"
    return found[-1]


def test_about_a_hundred_lines(said):
    assert 60 < said[1].count("\n") <= 110
    assert max(map(len, said[1].splitlines())) <= 140
    assert "# To try next:" in said[1].split("$ ")[-1]


def test_two_versions_that_differ_in_two_rows(said):
    assert "iris-uci.csv" in said[1] and "iris-fisher.csv" in said[1]
    assert answer(said, "ls data").split() == ["iris.csv", "iris@latest.csv", "iris@v1.csv", "iris@v2.csv"]
    lines = answer(said, "diff data/iris@v1.csv data/iris@v2.csv").splitlines()
    assert [line[0] for line in lines] == list("3<->3<->")


def test_six_runs_or_more_over_algorithms_and_params(said):
    loop = answer(said, "for set in")
    assert {line.split(":")[0] for line in loop.splitlines()} == {"tree", "forest", "logistic", "knn"}
    assert len(loop.splitlines()) >= 6
    command = next(c for c, _ in said[0] if c.startswith("for set in"))
    assert "experiments/iris/new" in command and "/params/" in command and "iris evaluate" in command
    assert 0.5 < float(answer(said, "cat runs/3/metrics/accuracy")) <= 1


def test_values_by_hand(said):
    refused = answer(said, "echo 0.2 > runs/10/params/learning_rate")
    assert refused.endswith("Operation not permitted")
    assert "params are written once" in answer(said, "tail -n 1 .labfs/errors")
    assert answer(said, "cut -f 1,2 runs/10/history/loss").splitlines() == ["0\t0.9", "10\t0.4", "0.4"]


def test_the_table_is_sorted_by_accuracy(said):
    rows = [line.split() for line in answer(said, "awk").splitlines()]
    assert rows[0] == ["run", "algorithm", "accuracy", "log_loss"]
    accuracies = [float(row[2]) for row in rows[1:]]
    assert len(accuracies) >= 5 and accuracies == sorted(accuracies, reverse=True)
    assert len(set(accuracies)) > 1
    command = next(c for c, _ in said[0] if c.startswith("awk"))
    assert "runs.tsv" in command and "sort" in command and "column" in command


def test_the_best_run_is_deployed(said):
    best = answer(said, "awk").splitlines()[1].split()[0]
    matrix = answer(said, f"column -t -s, runs/{best}/artifacts/confusion_matrix.csv").splitlines()
    assert sum(int(n) for line in matrix[1:] for n in line.split()[1:]) == 60
    assert answer(said, f"iris deploy --run runs/{best} ") == "iris@production -> iris@v1"
    assert answer(said, "readlink models/iris@production") == "iris@v1"
    assert answer(said, "echo 5.9,3.0,5.1,1.8 | iris predict").splitlines()[1].startswith("virginica,")


def test_what_is_finished_refuses(said):
    assert answer(said, "echo 0.99 > runs/3/metrics/accuracy").endswith("Operation not permitted")
    lines = answer(said, "rm -r models/iris@v1").splitlines()
    assert len(lines) == 2 and all(line.endswith("Read-only file system") for line in lines)


def test_twice_and_kept(here):
    kept = demo(here, KEEP="1")
    assert "labfs umount mountpoints/demo" in kept.stdout.split("# It is still mounted.")[1]
    assert left(here) == [".demo-store", "demo"]
    assert harness.mounted_by(here / "mountpoints/demo") == "fuse.labfs"
    assert (here / "mountpoints/demo/runs/3/status").read_text() == "finished\n"
    demo(here)  # over the one that was kept
    assert left(here) == []
    assert harness.mounted_by(here / "mountpoints/demo") is None


def test_one_that_is_in_use_is_left_alone(here):
    demo(here, KEEP="1")
    with subprocess.Popen(["sleep", "60"], cwd=here / "mountpoints/demo") as user:
        try:
            p = demo(here, check=False)
            assert p.returncode == 1
            assert f"sleep ({user.pid})" in p.stderr and "earlier demo" in p.stderr
            assert (here / "mountpoints/demo/runs/3/status").read_text() == "finished\n"
        finally:
            user.kill()
    demo(here)
    assert left(here) == []


def test_says_so_where_nothing_can_be_mounted(here):
    """A labfs that cannot mount, as on a machine without /dev/fuse."""
    real = os.readlink(here / "build/labfs")
    (here / "build/labfs").unlink()
    (here / "build/labfs").write_text(
        f'#!/bin/sh\n[ "$1" = mount ] || exec {real} "$@"\necho "labfs mount: there is no /dev/fuse" >&2\nexit 3\n')
    (here / "build/labfs").chmod(0o755)
    p = demo(here, check=False)
    assert p.returncode == 1
    assert p.stderr.startswith("labfs mount: there is no /dev/fuse\n") and "cannot mount" in p.stderr
    assert "--cap-add SYS_ADMIN" in p.stderr
    assert left(here) == []
