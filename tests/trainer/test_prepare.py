# SPDX-License-Identifier: Apache-2.0
"""iris prepare: what is a table of flowers, and how it is split."""

import csv
import json
from collections import Counter

import harness
import pytest

from trainer.iris_helper import CLASSES, DATA, FISHER, HEADER, UCI, refused, split, tree_of

ROWS = FISHER.read_text(encoding="ascii").splitlines()[1:]


def species(path):
    with open(path, newline="", encoding="ascii") as f:
        return Counter(r["species"] for r in csv.DictReader(f))


def test_default_split_is_exact(work):
    d = split(work)
    assert sorted(p.name for p in d.iterdir()) == ["prepare.json", "test.csv", "train.csv"]
    assert species(d / "train.csv") == dict.fromkeys(CLASSES, 40)
    assert species(d / "test.csv") == dict.fromkeys(CLASSES, 10)
    train, test = ((d / n).read_text().splitlines() for n in ("train.csv", "test.csv"))
    assert train[0] + "\n" == test[0] + "\n" == HEADER
    assert sorted(train[1:] + test[1:]) == sorted(ROWS)
    at = iter(ROWS)
    assert all(any(r == x for x in at) for r in train[1:]), "rows keep their order"


def test_account(work):
    d = split(work)
    said = json.loads((d / "prepare.json").read_text())
    assert said == {"source": str(FISHER), "source_version": None, "test_size": 0.2, "seed": 42,
                    "train_rows": 120, "test_rows": 30}


@pytest.mark.parametrize("size,rows,each", [("0.1", 15, {5}), ("0.5", 75, {25}), ("0.25", 38, {12, 13}),
                                            ("0.02", 3, {1}), ("0.98", 147, {49})])
def test_shares(work, size, rows, each):
    harness.iris("prepare", "--in", FISHER, "--out", work / "s", "--test-size", size)
    count = species(work / "s/test.csv")
    assert sum(count.values()) == rows and set(count.values()) <= each


def test_unequal_classes_keep_their_proportions(work):
    rows = [r for r in ROWS if r.endswith(",setosa")][:20] + \
           [r for r in ROWS if r.endswith(",versicolor")][:50] + \
           [r for r in ROWS if r.endswith(",virginica")][:10]
    (work / "t.csv").write_text(HEADER + "\n".join(rows) + "\n")
    harness.iris("prepare", "--in", work / "t.csv", "--out", work / "s", "--test-size", "0.3")
    assert species(work / "s/test.csv") == {"setosa": 6, "versicolor": 15, "virginica": 3}


def test_seed_decides(work):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        harness.iris("prepare", "--in", FISHER, "--out", work / name, "--seed", seed)
    assert tree_of(work / "a") == tree_of(work / "b")
    assert (work / "a/test.csv").read_bytes() != (work / "c/test.csv").read_bytes()


def test_two_versions_differ_in_two_rows(work):
    for name in ("uci", "fisher"):
        harness.iris("prepare", "--in", DATA / f"iris-{name}.csv", "--out", work / name)
    differ = 0
    for name in ("train.csv", "test.csv"):
        a, b = ((work / v / name).read_text().splitlines() for v in ("uci", "fisher"))
        assert len(a) == len(b)
        differ += sum(x != y for x, y in zip(a, b))
    assert differ == 2


def test_what_a_table_may_look_like(work):
    """CRLF, quotes, a byte order mark, columns in another order, empty lines and no newline at the end."""
    rows = [r.split(",") for r in ROWS]
    text = "\ufeff" + '"species",petal_width,petal_length,sepal_width,sepal_length\r\n' + \
        "\r\n".join(f'"{r[4]}",{r[3]},{r[2]},"{r[1]}",{r[0]}' for r in rows) + "\r\n\r\n\n"
    (work / "odd.csv").write_text(text, encoding="utf-8", newline="")
    (work / "bare.csv").write_text(FISHER.read_text().rstrip("\n"))
    for name in ("odd", "bare"):
        harness.iris("prepare", "--in", work / f"{name}.csv", "--out", work / name)
    harness.iris("prepare", "--in", FISHER, "--out", work / "plain")
    assert tree_of(work / "bare")["train.csv"] == tree_of(work / "plain")["train.csv"]
    for name in ("odd", "plain"):
        harness.iris("train", "--data", work / name, "--out", work / f"m-{name}", "--algorithm", "knn")
    assert (work / "m-odd/model.txt").read_bytes() == (work / "m-plain/model.txt").read_bytes()


BAD = {
    "empty": ("", 1, "empty"),
    "only-newlines": ("\n\n", 1, "empty"),
    "no-rows": (HEADER, 1, "no rows"),
    "no-column": (HEADER.replace("petal_width,", "") + "1,2,3,setosa\n", 1, "no column 'petal_width'"),
    "no-species": (HEADER.replace(",species", "") + "1,2,3,4\n", 1, "no column 'species'"),
    "two-columns": (HEADER.replace("petal_width", "petal_length") + "1,2,3,4,setosa\n", 1,
                    "two columns 'petal_length'"),
    "extra-column": (HEADER.replace("\n", ",id\n") + "1,2,3,4,setosa,9\n", 1, "unknown column 'id'"),
    "short-row": (HEADER + "1,2,3,4,setosa\n1,2,3,setosa\n", 3, "4 fields where the first line has 5"),
    "long-row": (HEADER + "1,2,3,4,setosa,5\n", 2, "6 fields"),
    "nan": (HEADER + "1,2,3,nan,setosa\n", 2, "petal_width is 'nan', not a finite number"),
    "inf": (HEADER + "1,inf,3,4,setosa\n", 2, "sepal_width is 'inf'"),
    "overflow": (HEADER + "1,1e400,3,4,setosa\n", 2, "not a finite number"),
    "hex": (HEADER + "0x1p3,1,3,4,setosa\n", 2, "sepal_length is '0x1p3'"),
    "comma": (HEADER + '"1,5",1,3,4,setosa\n', 2, "'1,5', not a finite number"),
    "word": (HEADER + "1,2,3,four,setosa\n", 2, "'four'"),
    "blank": (HEADER + "1,2,3, 4,setosa\n", 2, "' 4', not a finite number"),
    "missing": (HEADER + "1,2,,4,setosa\n", 2, "petal_length is missing"),
    "negative": (HEADER + "1,2,-3,4,setosa\n", 2, "petal_length is -3, not between 0 and 1000 cm"),
    "zero": (HEADER + "1,2,0,4,setosa\n", 2, "not between"),
    "huge": (HEADER + "1,2,1e9,4,setosa\n", 2, "not between"),
    "no-name": (HEADER + "1,2,3,4,\n", 2, "species ''"),
    "bad-name": (HEADER + "1,2,3,4,se/tosa\n", 2, "species 'se/tosa' is not"),
    "dots": (HEADER + "1,2,3,4,..\n", 2, "species '..' is not"),
    "long-name": (HEADER + "1,2,3,4," + "x" * 65 + "\n", 2, "is not 1 to 64"),
    "average": (HEADER + "1,2,3,4,macro\n", 2, "name of an average"),
    "one-species": (HEADER + "1,2,3,4,a\n5,6,7,8,a\n", 3, "one species"),
    "one-of-a-kind": (HEADER + "1,2,3,4,a\n1,2,3,5,a\n5,6,7,8,b\n", 4, "too few"),
    "hole": (HEADER + "1,2,3,4,a\n\n5,6,7,8,b\n", 3, "an empty line"),
    "open-quote": (HEADER + '1,2,3,4,"a\n5,6,7,8,b\n', 2, "never closed"),
    "quote-inside": (HEADER + '1,2,3,4,a"b\n', 2, "a quote inside"),
    "after-quote": (HEADER + '1,2,3,4,"a"b\n', 2, "after a closing quote"),
    "nul": (HEADER + "1,2,3,4,a\n1,2\0,3,4,a\n", 3, "a NUL byte"),
    "control": (HEADER + "1,2,3,4\x1b[31m,a\n", 2, "'4?[31m'"),
    "many-species": (HEADER + "".join(f"1,2,3,4,s{i}\n" for i in range(65)), 66, "more than 64 species"),
    "many-columns": ("x," * 300 + "x\n", 1, "more than 256"),
    "binary": ("\x7fELF\x02\x01", 1, "no column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_table(work, case):
    text, line, reason = BAD[case]
    bad = work / "bad.csv"
    bad.write_bytes(text.encode("latin-1"))
    said = refused("prepare", "--in", bad, "--out", work / "out")
    assert said.startswith(f"iris: {bad}:{line}: ") and reason in said
    assert not (work / "out").exists()


def test_bad_table_leaves_the_old_split(work):
    d = split(work)
    before = tree_of(d)
    (work / "bad.csv").write_text(HEADER + "1,2,3,4,a\n")
    refused("prepare", "--in", work / "bad.csv", "--out", d)
    assert tree_of(d) == before


def test_unreadable(work):
    assert "No such file" in refused("prepare", "--in", work / "none.csv", "--out", work / "out")
    assert "Is a directory" in refused("prepare", "--in", work, "--out", work / "out")
    (work / "file").write_text("")
    assert str(work / "file") in refused("prepare", "--in", FISHER, "--out", work / "file")
    (work / "s/test.csv").mkdir(parents=True)
    assert "is a directory" in refused("prepare", "--in", FISHER, "--out", work / "s")
    assert sorted(tree_of(work / "s")) == ["test.csv"]


@pytest.mark.parametrize("options", [("--test-size", "0"), ("--test-size", "1"), ("--test-size", "x"),
                                     ("--test-size", "nan"), ("--seed", "-1"), ("--seed", "1.5"),
                                     ("--seed", "4294967296"), ("--bogus", "1"), ("extra",),
                                     ("--seed",), ("--seed", "1", "--seed", "2")])
def test_usage(work, options):
    refused("prepare", "--in", UCI, "--out", work / "out", *options, status=2)
    assert not (work / "out").exists()


def test_usage_missing(work):
    assert "--out DIR is missing" in refused("prepare", "--in", UCI, status=2)
    assert "--in FILE is missing" in refused("prepare", "--out", work, status=2)
