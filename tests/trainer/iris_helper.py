# SPDX-License-Identifier: Apache-2.0
"""iris_helper - what the trainer's tests share: the data, a split of it, a trained run."""

import os

import harness

DATA = harness.ROOT / "trainer/data"
FISHER, UCI = DATA / "iris-fisher.csv", DATA / "iris-uci.csv"
HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"
ALGORITHMS = ("forest", "tree", "logistic", "knn")
CLASSES = ("setosa", "versicolor", "virginica")


def split(work, source=FISHER):
    harness.iris("prepare", "--in", source, "--out", work / "split")
    return work / "split"


def train(data, run, *options):
    harness.iris("train", "--data", data, "--run", run, *options)
    return run


def trained(work, *options):
    """(data, run) of a model that was learned and scored."""
    data = split(work)
    run = train(data, work / "run", *options)
    harness.iris("evaluate", "--data", data, "--run", run)
    return data, run


def refused(*args, status=1, **kw):
    """`iris ARGS` fails with STATUS and one line (usage: two) on stderr, nothing on stdout: that line."""
    p = harness.iris(*args, check=False, **kw)
    assert p.returncode == status, (p.returncode, p.stderr)
    assert p.stdout == ""
    lines = p.stderr.splitlines()
    assert len(lines) == (2 if status == 2 else 1), p.stderr
    assert lines[0].startswith("iris: ")
    return lines[0]


def tree_of(path):
    """Every file below PATH with its bytes; directories as None."""
    found = {}
    for top, dirs, files in os.walk(path):
        for name in dirs:
            found[os.path.relpath(os.path.join(top, name), path)] = None
        for name in files:
            full = os.path.join(top, name)
            with open(full, "rb") as f:
                found[os.path.relpath(full, path)] = f.read()
    return found
