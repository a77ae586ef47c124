# SPDX-License-Identifier: Apache-2.0
"""The trainer in a mount: the same programs, the same paths, and what only labfs does."""

import json
import os
import re

import harness

from trainer.iris_helper import CLASSES, DATA, refused


def put(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read().removesuffix("\n")


def test_prepare_train_evaluate(mount, work):
    put(mount.path / "data/iris.csv", (DATA / "iris-uci.csv").read_text())
    put(mount.path / "data/iris.csv", (DATA / "iris-fisher.csv").read_text())
    run = mount.new_run()
    split = run / "artifacts/split"
    harness.iris("prepare", "--in", mount.path / "data/iris@v1.csv", "--out", split)
    assert json.loads(text(split / "prepare.json"))["source_version"] == "v1"
    put(run / "params/n_estimators", "20\n")
    harness.iris("train", "--data", split, "--run", run, "--max-depth", "4")
    harness.iris("evaluate", "--data", split, "--run", run)
    assert text(run / "status") == "running"
    assert text(run / "params/algorithm") == "forest" and text(run / "params/n_estimators") == "20"
    assert text(run / "params/max_depth") == "4" and text(run / "params/min_samples_leaf") == "1"
    points = [x.split("\t") for x in text(run / "history/oob_error").splitlines()]
    assert [int(p[0]) for p in points] == list(range(1, 21))
    assert text(run / "metrics/oob_error") == points[-1][1]
    for key in ("accuracy", *(f"recall/{c}" for c in CLASSES), "f1/macro"):
        assert 0.8 < float(text(run / "metrics" / key)) <= 1
        assert len(text(run / "history" / key).splitlines()) == 1
    assert sorted(os.listdir(run / "artifacts")) == ["confusion_matrix.csv", "confusion_matrix.svg",
                                                     "feature_importances.csv", "model", "predictions.csv", "split"]
    metadata = json.loads(text(run / "artifacts/model/model_metadata.json"))
    assert metadata["split"]["source_version"] == "v1"


def test_the_data_version_is_in_the_metadata(mount, work):
    harness.iris("prepare", "--in", DATA / "iris-uci.csv", "--out", work / "split")
    put(mount.path / "data/train.csv", (work / "split/train.csv").read_text())
    run = mount.new_run()
    harness.iris("train", "--data", mount.path / "data/train.csv", "--run", run, "--algorithm", "knn")
    metadata = json.loads(text(run / "artifacts/model/model_metadata.json"))
    assert metadata["data_version"] == "v1"


def test_same_bytes_as_in_an_ordinary_folder(mount, work):
    harness.iris("prepare", "--in", DATA / "iris-uci.csv", "--out", work / "split")
    run = mount.new_run()
    for place in (run, work / "run"):
        harness.iris("train", "--data", work / "split", "--run", place, "--algorithm", "logistic")
    assert text(run / "artifacts/model/model.txt") == text(work / "run/artifacts/model/model.txt")
    values = {k: text(run / "params" / k) for k in os.listdir(run / "params")}
    assert values == {k: text(work / "run/params" / k) for k in os.listdir(work / "run/params")}


def test_errors(mount, work):
    harness.iris("prepare", "--in", DATA / "iris-uci.csv", "--out", work / "split")
    run = mount.new_run()
    put(run / "params/bogus", "1\n")
    assert "params/bogus:1: unknown parameter" in refused("train", "--data", work / "split", "--run", run)
    assert text(run / "status") == "failed"
    ended = mount.new_run()
    put(ended / "status", "finished\n")
    said = refused("train", "--data", work / "split", "--run", ended)
    assert re.search(rf"iris: {ended}/\S+: cannot write: ", said)
    assert text(ended / "status") == "finished"


def test_deploy(mount, work):
    harness.iris("prepare", "--in", DATA / "iris-uci.csv", "--out", work / "split")
    runs = []
    for neighbors in (5, 120):
        run = mount.new_run()
        harness.iris("train", "--data", work / "split", "--run", run, "--algorithm", "knn", "--n-neighbors",
                     neighbors)
        harness.iris("evaluate", "--data", work / "split", "--run", run)
        put(run / "status", "finished\n")
        runs.append(run)
    models = mount.path / "models"
    to = ("--models", models, "--if-better", "accuracy", "--data", work / "split")
    assert harness.iris("deploy", "--run", runs[0], *to).stdout == "iris@production -> iris@v1\n"
    assert os.readlink(models / "iris@production") == "iris@v1"
    assert text(models / "iris@v1/model.txt") == text(runs[0] / "artifacts/model/model.txt")
    assert "not deployed: its accuracy of 0.33" in refused("deploy", "--run", runs[1], *to)
    assert os.readlink(models / "iris@production") == "iris@v1" and not (models / "iris@v2").exists()
    assert harness.iris("deploy", "--run", runs[1], "--models", models).stdout == "iris@production -> iris@v2\n"
    p = harness.iris("predict", "--model", models / "iris@production", input="6,3,4.5,1.5\n")
    assert p.stdout.splitlines()[1].split(",")[1].startswith("0.33")
    assert sorted(x for x in os.listdir(models) if "latest" not in x) == ["iris", "iris@production", "iris@v1",
                                                                         "iris@v2"]
