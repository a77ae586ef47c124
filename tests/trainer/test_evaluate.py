# SPDX-License-Identifier: Apache-2.0
"""iris evaluate and predict: metrics, artifacts, and what is no model."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import harness
import pytest

from trainer.iris_helper import ALGORITHMS, CLASSES, HEADER, refused, split, train, trained, tree_of

KEYS = {"accuracy", "log_loss"} | {f"{kind}/{of}" for kind in ("precision", "recall", "f1")
                                   for of in (*CLASSES, "macro", "weighted")}


def metrics(run):
    found = tree_of(run / "metrics")
    return {k: float(v) for k, v in found.items() if v is not None and k in KEYS}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_is_right(work, algorithm):
    d, run = trained(work, "--algorithm", algorithm)
    m = metrics(run)
    assert set(m) == KEYS
    assert m["accuracy"] > 0.9 and m["recall/setosa"] == 1 and m["log_loss"] < 3
    assert not (run / "status").exists()
    assert sorted(p.name for p in (run / "artifacts").iterdir()) == [
        "confusion_matrix.csv", "confusion_matrix.svg", "feature_importances.csv", "model", "predictions.csv"]


def read_predictions(run):
    with open(run / "artifacts/predictions.csv", newline="", encoding="ascii") as f:
        return list(csv.DictReader(f))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_metrics_follow_from_the_predictions(work, algorithm):
    d, run = trained(work, "--algorithm", algorithm)
    rows, m = read_predictions(run), metrics(run)
    assert [r["species"] for r in rows] == \
        [x.rsplit(",", 1)[1] for x in (d / "test.csv").read_text().splitlines()[1:]]
    loss = hits = 0
    f1s = []
    for r in rows:
        p = {c: float(r[f"p_{c}"]) for c in CLASSES}
        assert sum(p.values()) == pytest.approx(1) and r["prediction"] == max(p, key=p.get)
        loss -= math.log(min(max(p[r["species"]], 2 ** -52), 1 - 2 ** -52)) / len(rows)
        hits += r["prediction"] == r["species"]
    assert m["accuracy"] == hits / len(rows) and m["log_loss"] == pytest.approx(loss)
    with open(run / "artifacts/confusion_matrix.csv", newline="", encoding="ascii") as f:
        table = list(csv.reader(f))
    assert table[0] == ["species", *CLASSES] and [r[0] for r in table[1:]] == list(CLASSES)
    for i, c in enumerate(CLASSES):
        is_c = [r for r in rows if r["species"] == c]
        said_c = [r for r in rows if r["prediction"] == c]
        for j, other in enumerate(CLASSES):
            assert int(table[i + 1][j + 1]) == sum(r["prediction"] == other for r in is_c)
        hit = sum(r["prediction"] == c for r in is_c)
        assert m[f"precision/{c}"] == pytest.approx(hit / len(said_c))
        assert m[f"recall/{c}"] == pytest.approx(hit / len(is_c))
        f1s.append(2 * hit / (len(said_c) + len(is_c)))
        assert m[f"f1/{c}"] == pytest.approx(f1s[-1])
    assert m["f1/macro"] == pytest.approx(sum(f1s) / 3)


def test_averages_of_unequal_classes(work):
    """A rare and a never predicted class: weighted is by rows, an empty precision is 0."""
    d, run = trained(work, "--algorithm", "knn", "--n-neighbors", "120")
    rows = (d / "test.csv").read_text().splitlines()
    kept = [rows[0]] + [r for r in rows if r.endswith("setosa")][:2] + \
           [r for r in rows if r.endswith("virginica")][:8]
    (work / "t.csv").write_text("\n".join(kept) + "\n")
    p = harness.iris("evaluate", "--data", work / "t.csv", "--model", run / "artifacts/model")
    m = {k: float(v) for k, v in (x.split("\t") for x in p.stdout.splitlines())}
    assert m["recall/setosa"] == 1 and m["recall/virginica"] == 0 and m["recall/versicolor"] == 0
    assert m["precision/setosa"] == pytest.approx(0.2) and m["precision/virginica"] == 0
    assert m["recall/macro"] == pytest.approx(1 / 3) and m["recall/weighted"] == pytest.approx(0.2)
    assert m["log_loss"] == pytest.approx(math.log(3))


def test_values_are_short(work):
    _, run = trained(work, "--algorithm", "tree")
    for key in KEYS:
        text = (run / "metrics" / key).read_text()
        assert text.endswith("\n") and float(text) == float(repr(float(text)))
        assert len(text) <= len(repr(float(text))) + 1


def test_metrics_file_is_what_is_printed_and_logged(work):
    d, run = trained(work)
    p = harness.iris("evaluate", "--data", d, "--run", run, "--metrics", work / "m.json")
    said = dict(x.split("\t") for x in p.stdout.splitlines())
    m = json.loads((work / "m.json").read_text())
    assert set(m) == KEYS == set(said)
    assert m == metrics(run) == {k: float(v) for k, v in said.items()}


def test_without_a_run(work):
    d, run = trained(work, "--algorithm", "tree")
    before = tree_of(run)
    harness.iris("evaluate", "--data", d, "--model", run / "artifacts/model", "--out", work / "out")
    assert tree_of(run) == before
    assert tree_of(work / "out")["predictions.csv"] == before["artifacts/predictions.csv"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_importances(work, algorithm):
    _, run = trained(work, "--algorithm", algorithm)
    with open(run / "artifacts/feature_importances.csv", newline="", encoding="ascii") as f:
        rows = {r["feature"]: r for r in csv.DictReader(f)}
    assert list(rows) == HEADER.strip().split(",")[:4]
    lost = {k: float(r["permutation_mean"]) for k, r in rows.items()}
    assert max(lost["petal_length"], lost["petal_width"]) > 0.2 > lost["sepal_width"]
    assert all(float(r["permutation_std"]) >= 0 for r in rows.values())
    gini = [r["gini"] for r in rows.values()]
    if algorithm in ("forest", "tree"):
        assert sum(map(float, gini)) == pytest.approx(1) and float(gini[2]) + float(gini[3]) > 0.7
    else:
        assert gini == [""] * 4


# ---- the picture ----------------------------------------------------------------------------


def luminance(colour):
    def linear(v):
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
    r, g, b = (linear(int(colour[i:i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_svg(work):
    _, run = trained(work, "--algorithm", "tree", "--max-depth", "2")
    path = run / "artifacts/confusion_matrix.svg"
    p = subprocess.run(["xmllint", "--noout", "--nonet", str(path)], capture_output=True, text=True, check=False)
    assert p.returncode == 0 and p.stderr == ""
    text = path.read_text()
    root = ET.fromstring(text)
    ns = "{http://www.w3.org/2000/svg}"
    assert root.tag == ns + "svg" and re.fullmatch(r"0 0 \d+ \d+", root.get("viewBox"))
    assert root.find(ns + "title").text == "Confusion matrix"
    words = [t.text for t in root.iter(ns + "text")]
    assert "predicted species" in words and "true species" in words
    assert all(words.count(c) == 2 for c in CLASSES)
    with open(run / "artifacts/confusion_matrix.csv", newline="", encoding="ascii") as f:
        table = [r[1:] for r in csv.reader(f)][1:]
    assert [w for w in words if w.isdigit()] == [n for row in table for n in row]
    colours = set(re.findall(r"#[0-9a-f]{6}", text))
    assert len(colours) == 3 and set(re.findall(r'(?:fill|stroke)="([^"]*)"', text)) <= colours | {"none"}
    for colour in colours:
        light = luminance(colour)
        assert 1.05 / (light + 0.05) >= 4.5 and (light + 0.05) / 0.05 >= 4.5, colour
    width, height = map(int, root.get("viewBox").split()[2:])
    for rect in root.iter(ns + "rect"):
        assert float(rect.get("x")) + float(rect.get("width")) <= width
        assert float(rect.get("y")) + float(rect.get("height")) <= height


# ---- predict --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_predict_says_what_evaluate_said(work, algorithm):
    d, run = trained(work, "--algorithm", algorithm)
    names = ["prediction", *(f"p_{c}" for c in CLASSES)]
    want = [[r[n] for n in names] for r in read_predictions(run)]
    p = harness.iris("predict", "--model", run / "artifacts/model", input=(d / "test.csv").read_text())
    assert list(csv.reader(io.StringIO(p.stdout))) == [names, *want]


def test_predict_inputs(work):
    _, run = trained(work, "--algorithm", "knn")
    model = run / "artifacts/model"
    for text in ("5.1,3.5,1.4,0.2\n", "petal_width,id,petal_length,sepal_width,sepal_length\n0.2,7,1.4,3.5,5.1\n"):
        p = harness.iris("predict", "--model", model, input=text)
        assert p.stdout == "prediction,p_setosa,p_versicolor,p_virginica\nsetosa,1,0,0\n"


@pytest.mark.parametrize("text,line,reason", [
    ("", 1, "empty"), (HEADER, 1, "no rows"), ("5.1,3.5,1.4\n", 1, "3 numbers where the model has 4"),
    ("5.1,3.5,1.4,0.2\n5.1,3.5,1.4\n", 2, "3 fields"), ("5.1,3.5,1.4,0.2\n5.1,3.5,nan,0.2\n", 2, "'nan'"),
    ("sepal_length,sepal_width,petal_length\n1,2,3\n", 1, "no column 'petal_width'"),
    ("5.1,3.5,1.4,-1\n", 1, "not between"),
])
def test_predict_refuses(work, text, line, reason):
    _, run = trained(work, "--algorithm", "knn")
    said = refused("predict", "--model", run / "artifacts/model", input=text)
    assert said.startswith(f"iris: standard input:{line}: ") and reason in said


# ---- refusals --------------------------------------------------------------------------------


def test_unknown_species(work):
    d, run = trained(work, "--algorithm", "tree")
    before = tree_of(run)
    (d / "test.csv").write_text(HEADER + "5,3,1,0.2,setosa\n5,3,1,0.2,rose\n")
    said = refused("evaluate", "--data", d, "--run", run, "--metrics", work / "m.json")
    assert said == f"iris: {d}/test.csv:3: species 'rose' is none of the model's"
    after = tree_of(run)
    assert after.pop("status") == b"failed\n" and after == before and not (work / "m.json").exists()


GOOD_HEAD = ("iris-model 1\nalgorithm tree\nfeatures sepal_length sepal_width petal_length petal_width\n"
             "classes setosa versicolor virginica\n")
BAD_MODELS = {
    "empty": ("", 1),
    "foreign": ("PK\x03\x04 pickle\n", 1),
    "json": ('{"a": 1}\n', 1),
    "newer": (GOOD_HEAD.replace("model 1", "model 2") + "end\n", 1),
    "algorithm": (GOOD_HEAD.replace("tree", "svm"), 2),
    "class-twice": (GOOD_HEAD.replace("versicolor", "setosa"), 4),
    "one-class": (GOOD_HEAD.replace(" versicolor virginica", ""), 4),
    "no-feature": (GOOD_HEAD.replace(" sepal_length sepal_width petal_length petal_width", ""), 3),
    "many-words": (GOOD_HEAD.replace("features", "features" + " x" * 90), 3),
    "cut": (GOOD_HEAD + "trees 1\ntree 0 nodes 3\nsplit 0 1 1 2\nleaf 1 0 0\n", 8 + 1),
    "cut-line": (GOOD_HEAD + "trees 1\ntree 0 nod", 6),
    "no-end": (GOOD_HEAD + "trees 1\ntree 0 nodes 1\nleaf 1 0 0\n", 8),
    "tail": (GOOD_HEAD + "trees 1\ntree 0 nodes 1\nleaf 1 0 0\nend\nmore\n", 9),
    "two-trees": (GOOD_HEAD + "trees 2\n", 5),
    "loop": (GOOD_HEAD + "trees 1\ntree 0 nodes 3\nsplit 0 1 0 2\nleaf 1 0 0\nleaf 1 0 0\nend\n", 7),
    "no-such-child": (GOOD_HEAD + "trees 1\ntree 0 nodes 3\nsplit 0 1 1 9\nleaf 1 0 0\nleaf 1 0 0\nend\n", 7),
    "no-such-feature": (GOOD_HEAD + "trees 1\ntree 0 nodes 3\nsplit 4 1 1 2\nleaf 1 0 0\nleaf 1 0 0\nend\n", 7),
    "nan-threshold": (GOOD_HEAD + "trees 1\ntree 0 nodes 3\nsplit 0 nan 1 2\nleaf 1 0 0\nleaf 1 0 0\nend\n", 7),
    "empty-leaf": (GOOD_HEAD + "trees 1\ntree 0 nodes 1\nleaf 0 0 0\nend\n", 7),
    "leaf-classes": (GOOD_HEAD + "trees 1\ntree 0 nodes 1\nleaf 1 0\nend\n", 7),
    "nodes": (GOOD_HEAD + "trees 1\ntree 0 nodes 99999999999999999999\n", 6),
    "line-order": (GOOD_HEAD.replace("tree", "logistic") + "line 1 0 0 0 0 0\n", 5),
    "line-inf": (GOOD_HEAD.replace("tree", "logistic") + "line 0 0 0 0 inf 0\n", 5),
    "line-1e300": (GOOD_HEAD.replace("tree", "logistic") + "line 0 0 0 0 1e300 0\n", 5),
    "line-short": (GOOD_HEAD.replace("tree", "logistic") + "line 0 0 0 0\n", 5),
    "knn-k": (GOOD_HEAD.replace("tree", "knn") + "n_neighbors 3\nweights uniform\nrows 2\n", 7),
    "knn-weights": (GOOD_HEAD.replace("tree", "knn") + "n_neighbors 1\nweights heavy\nrows 2\n", 6),
    "knn-rows": (GOOD_HEAD.replace("tree", "knn") + "n_neighbors 1\nweights uniform\nrows 2\nrow 0 1 2 3 4\n", 9),
    "knn-class": (GOOD_HEAD.replace("tree", "knn") + "n_neighbors 1\nweights uniform\nrows 1\nrow 3 1 2 3 4\n", 8),
    "knn-nan": (GOOD_HEAD.replace("tree", "knn") + "n_neighbors 1\nweights uniform\nrows 1\nrow 0 1 nan 3 4\n", 8),
    "nul": (GOOD_HEAD + "\0", 1),
    "control": ("iris\x1b[2J\n", 1),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_model(work, case):
    text, line = BAD_MODELS[case]
    (work / "model").mkdir()
    (work / "model/model.txt").write_bytes(text.encode("latin-1"))
    d = split(work)
    for args in (("predict", "--model", work / "model"),
                 ("evaluate", "--data", d, "--model", work / "model", "--run", work / "run")):
        said = refused(*args, input="5.1,3.5,1.4,0.2\n")
        assert said.startswith(f"iris: {work}/model/model.txt:{line}: "), said
    assert not (work / "run").exists()


def test_model_cut_anywhere(work):
    """No beginning of a model is a model."""
    d = split(work)
    for algorithm in ALGORITHMS:
        model = work / algorithm
        harness.iris("train", "--data", d, "--out", model, "--algorithm", algorithm,
                     *(("--n-estimators", "2") if algorithm == "forest" else ()))
        text = (model / "model.txt").read_bytes()
        for cut in range(0, len(text), max(1, len(text) // 25)):
            (model / "model.txt").write_bytes(text[:cut])
            assert "model.txt:" in refused("predict", "--model", model, input="5.1,3.5,1.4,0.2\n")
        (model / "model.txt").write_bytes(text)
        harness.iris("predict", "--model", model, input="5.1,3.5,1.4,0.2\n")


def test_missing_model_and_run(work):
    d = split(work)
    assert "No such file" in refused("evaluate", "--data", d, "--run", work / "none")
    assert "No such file" in refused("predict", "--model", work / "none", input="")
    assert not (work / "none").exists()
    train(d, work / "run", "--algorithm", "tree")
    assert "No such file" in refused("evaluate", "--data", work / "nodata", "--run", work / "run")
    assert (work / "run/status").read_text() == "failed\n"


def test_usage(work):
    d = split(work)
    assert "--run RUN_DIR or --model DIR" in refused("evaluate", "--data", d, status=2)
    refused("evaluate", "--run", work, status=2)
    refused("evaluate", "--data", d, "--run", work, "--max-depth", "3", status=2)
    refused("predict", status=2)


def test_metrics_file_that_cannot_be(work):
    d, run = trained(work, "--algorithm", "tree")
    shutil.rmtree(run / "metrics")
    said = refused("evaluate", "--data", d, "--run", run, "--metrics", work / "no/such/m.json")
    assert "no/such" in said
    assert tree_of(run / "metrics") == {}


def test_full_stdout(work):
    _, run = trained(work, "--algorithm", "tree")
    p = subprocess.run(f"echo 5.1,3.5,1.4,0.2 | {harness.IRIS} predict --model {run}/artifacts/model >/dev/full",
                       shell=True, capture_output=True, text=True, check=False)
    assert p.returncode == 1 and "standard output" in p.stderr
