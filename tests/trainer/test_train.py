# SPDX-License-Identifier: Apache-2.0
"""iris train: parameters, their sources and ranges; model, metadata, curves; the run's state."""

import datetime
import json
import os
import re

import harness
import pytest

from trainer.iris_helper import ALGORITHMS, HEADER, refused, split, train, tree_of

DEFAULTS = {
    "forest": {"n_estimators": "100", "max_depth": "None", "min_samples_split": "2",
               "min_samples_leaf": "1", "max_features": "sqrt", "bootstrap": "True",
               "random_state": "42"},
    "tree": {"max_depth": "None", "min_samples_split": "2", "min_samples_leaf": "1",
             "max_features": "None", "random_state": "42"},
    "logistic": {"C": "1", "learning_rate": "0.3", "max_iter": "100", "batch_size": "16",
                 "momentum": "0.9", "random_state": "42"},
    "knn": {"n_neighbors": "5", "weights": "uniform", "random_state": "42"},
}


def params(run):
    return {p.name: p.read_text().removesuffix("\n") for p in (run / "params").iterdir()}


def curve(run, key):
    lines = (run / "history" / key).read_text().splitlines()
    return [(int(s), float(v)) for s, v in (x.split(" ") for x in lines)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_defaults_are_logged(work, algorithm):
    run = train(split(work), work / "run", "--algorithm", algorithm)
    assert params(run) == {"algorithm": algorithm, **DEFAULTS[algorithm]}
    assert not (run / "status").exists()
    assert sorted(p.name for p in run.iterdir()) == ["artifacts", "history", "metrics", "params", "tags"]
    for p in (run / "params").iterdir():
        assert p.read_bytes().endswith(b"\n")


def test_forest_is_the_default(work):
    run = train(split(work), work / "run")
    assert params(run)["algorithm"] == "forest"


def test_curve_forest(work):
    run = train(split(work), work / "run", "--n-estimators", "30")
    points = curve(run, "oob_error")
    assert [s for s, _ in points] == list(range(1, 31))
    assert all(0 <= v < 0.5 for _, v in points) and points[-1][1] < 0.1
    assert float((run / "metrics/oob_error").read_text()) == points[-1][1]


def test_curve_forest_without_bootstrap(work):
    run = train(split(work), work / "run", "--n-estimators", "5", "--bootstrap", "false")
    assert curve(run, "train_accuracy") == [(i, 1.0) for i in range(1, 6)]
    assert not (run / "history/oob_error").exists()


def test_curve_tree(work):
    run = train(split(work), work / "run", "--algorithm", "tree", "--max-depth", "2")
    points = curve(run, "train_accuracy")
    assert [s for s, _ in points] == [0, 1, 2]
    assert points[0][1] == pytest.approx(1 / 3) and points[1][1] == pytest.approx(2 / 3)
    assert points[2][1] > 0.9


def test_curve_logistic(work):
    run = train(split(work), work / "run", "--algorithm", "logistic", "--max-iter", "40")
    loss, accuracy = curve(run, "train_loss"), curve(run, "train_accuracy")
    assert [s for s, _ in loss] == [s for s, _ in accuracy] == list(range(1, 41))
    assert loss[-1][1] < loss[0][1] and accuracy[-1][1] > 0.9
    assert abs(loss[-1][1] - loss[-2][1]) < 1e-4, "the descent has settled"


def test_curve_knn(work):
    run = train(split(work), work / "run", "--algorithm", "knn", "--n-neighbors", "7")
    points = curve(run, "loo_error")
    assert [s for s, _ in points] == list(range(1, 8)) and all(v < 0.2 for _, v in points)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_same_seed_same_bytes(work, algorithm):
    d = split(work)
    for name in "ab":
        harness.iris("train", "--data", d, "--out", work / name, "--algorithm", algorithm)
    assert (work / "a/model.txt").read_bytes() == (work / "b/model.txt").read_bytes()
    assert sorted(os.listdir(work / "a")) == ["model.txt", "model_metadata.json"]


@pytest.mark.parametrize("algorithm", ["forest", "logistic"])
def test_other_seed_other_bytes(work, algorithm):
    d = split(work)
    for seed in (1, 2):
        harness.iris("train", "--data", d, "--out", work / str(seed), "--algorithm", algorithm,
                     "--random-state", seed)
    assert (work / "1/model.txt").read_bytes() != (work / "2/model.txt").read_bytes()


def test_run_and_out_get_the_same(work):
    d = split(work)
    train(d, work / "run", "--out", work / "out", "--n-estimators", "3")
    assert tree_of(work / "run/artifacts/model") == tree_of(work / "out")


def test_metadata(work):
    d = split(work)
    before = datetime.datetime.now(datetime.timezone.utc)
    run = train(d, work / "run", "--algorithm", "logistic", "--C", "0.5", "--random-state", "7")
    m = json.loads((run / "artifacts/model/model_metadata.json").read_text())
    assert m["algorithm"] == "logistic" and m["format"] == "iris-model 1" and m["seed"] == 7
    assert m["params"] == {"C": 0.5, "learning_rate": 0.3, "max_iter": 100, "batch_size": 16,
                           "momentum": 0.9, "random_state": 7}
    assert m["features"] == HEADER.strip().split(",")[:4]
    assert m["classes"] == ["setosa", "versicolor", "virginica"]
    assert m["data"] == str(d / "train.csv") and m["data_rows"] == 120 and m["data_version"] is None
    assert m["split"]["seed"] == 42 and m["split"]["source_version"] is None
    assert m["trained_at"].endswith("Z") and m["duration_seconds"] >= 0
    when = datetime.datetime.fromisoformat(m["trained_at"].replace("Z", "+00:00"))
    assert abs((when - before).total_seconds()) < 60


def test_metadata_types(work):
    run = train(split(work), work / "run", "--max-features", "1.0", "--bootstrap", "False")
    m = json.loads((run / "artifacts/model/model_metadata.json").read_text())["params"]
    assert m["max_depth"] is None and m["bootstrap"] is False and m["n_estimators"] == 100
    assert m["max_features"] == 1.0 and params(run)["max_features"] == "1.0"


def test_data_version_comes_from_the_attribute(work):
    d = split(work)
    try:
        os.setxattr(d / "train.csv", "user.labfs.version", b"v3")
    except OSError as e:
        pytest.skip(f"needs user attributes: {e}")
    run = train(d, work / "run", "--algorithm", "knn")
    m = json.loads((run / "artifacts/model/model_metadata.json").read_text())
    assert m["data_version"] == "v3"


def test_data_may_be_the_file(work):
    d = split(work)
    for name, data in (("a", d), ("b", d / "train.csv")):
        harness.iris("train", "--data", data, "--out", work / name, "--algorithm", "knn")
    assert (work / "a/model.txt").read_bytes() == (work / "b/model.txt").read_bytes()


# ---- where parameters come from ------------------------------------------------------------


def put(run, **values):
    (run / "params").mkdir(parents=True, exist_ok=True)
    for key, value in values.items():
        (run / "params" / key).write_text(value)


def test_params_of_the_run(work):
    run = work / "run"
    put(run, algorithm="logistic\n", C="1e1\n", max_iter="20")
    train(split(work), run)
    have = params(run)
    assert have["C"] == "1e1" and have["max_iter"] == "20", "what stands there is not written again"
    assert have["learning_rate"] == "0.3"
    m = json.loads((run / "artifacts/model/model_metadata.json").read_text())
    assert m["params"]["C"] == 10 and m["params"]["max_iter"] == 20


def test_params_of_the_run_pass_over_dotfiles_and_other_steps(work):
    run = work / "run"
    put(run, **{".swp": "x"})
    (run / "params/prepare").mkdir()
    (run / "params/prepare/seed").write_text("1\n")
    train(split(work), run, "--algorithm", "knn")


@pytest.mark.parametrize("name,text", [
    ("p.yaml", "algorithm: tree\nmax_depth: 3\nmax_features: null\nmin_samples_leaf: 0.1\n"),
    ("p.yaml", "# all\nprepare:\n  seed: 1\ntrain: {algorithm: tree, max_depth: 3, min_samples_leaf: 0.1}\n"),
    ("p.yml", "---\nalgorithm: 'tree'\nmax_depth: \"3\"\nmin_samples_leaf: 0.1\nmax_features: ~\n...\n"),
    ("p.json", '{"algorithm": "tree",\n\t"max_depth": 3, "min_samples_leaf": 0.1, "max_features": null}'),
    ("p.json", '{"train":{"algorithm":"tree","max_depth":3,"min_samples_leaf":1e-1},"x":[1,{"y":2}]}'),
])
def test_params_file(work, name, text):
    (work / name).write_text(text)
    run = train(split(work), work / "run", "--params", work / name)
    assert params(run) == {"algorithm": "tree", "max_depth": "3", "min_samples_split": "2",
                           "min_samples_leaf": "0.1", "max_features": "None", "random_state": "42"}


def test_json_keeps_one_and_all_apart(work):
    """1.0 is all features, 1 is one."""
    d = split(work)
    for name, value in (("one", "1"), ("all", "1.0")):
        (work / f"{name}.json").write_text('{"n_estimators": 3, "max_features": %s}' % value)
        run = train(d, work / name, "--params", work / f"{name}.json")
        assert params(run)["max_features"] == value
    assert (work / "one/artifacts/model/model.txt").read_bytes() != \
        (work / "all/artifacts/model/model.txt").read_bytes()


def test_sources_add_up(work):
    run = work / "run"
    put(run, n_estimators="7\n")
    (work / "p.yaml").write_text("max_depth: 2\nn_estimators: 7\n")
    train(split(work), run, "--params", work / "p.yaml", "--max_features=2", "--n-estimators", "7")
    have = params(run)
    assert (have["n_estimators"], have["max_depth"], have["max_features"]) == ("7", "2", "2")


BAD_FILES = {
    "unknown.yaml": ("max_depth: 2\nbogus: 1\n", 2, "unknown parameter 'bogus'"),
    "unknown.json": ('{"max_depth": 2,\n"bogus": 1}', 2, "unknown parameter 'bogus'"),
    "unknown-in-section.yaml": ("prepare:\n  seed: 1\ntrain:\n  bogus: 1\n", 4, "unknown parameter 'bogus'"),
    "range.yaml": ("n_estimators: 0\n", 1, "not a whole number from 1 to 10000"),
    "type.yaml": ("n_estimators: many\n", 1, "'many'"),
    "fraction.yaml": ("n_estimators: 1.5\n", 1, "'1.5'"),
    "nan.yaml": ("algorithm: logistic\nC: .nan\n", 2, "'.nan'"),
    "twice.yaml": ("max_depth: 2\nmax_depth: 2\n", 2, "there twice"),
    "list.yaml": ("max_depth: [1, 2]\n", 1, "no single value"),
    "not-a-map.yaml": ("- max_depth\n", 1, "not a mapping"),
    "word.yaml": ("max_depth\n", 1, "not a mapping"),
    "empty.yaml": ("", 1, "empty"),
    "broken.yaml": ("max_depth: 2\n  bad: [\n", 2, "not YAML"),
    "broken.json": ('{"max_depth": 2,\n"max_features": }', 2, "not JSON"),
    "yaml-in.json": ("max_depth: 2\n", 1, "not JSON"),
    "two.yaml": ("max_depth: 2\n---\nmax_depth: 3\n", 2, "second document"),
    "foreign.yaml": ("algorithm: knn\nmax_depth: 2\n", 2, "max_depth is no parameter of knn"),
    "algorithm.yaml": ("algorithm: svm\n", 1, "algorithm is 'svm', not forest, tree, logistic or knn"),
    "null.yaml": ("n_estimators:\n", 1, "'null'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_params_file(work, name):
    text, line, reason = BAD_FILES[name]
    (work / name).write_text(text)
    said = refused("train", "--data", split(work), "--run", work / "run", "--params", work / name)
    assert said.startswith(f"iris: {work / name}:{line}: ") and reason in said, said
    assert not (work / "run").exists()


BAD_VALUES = [
    ("forest", "n_estimators", "0"), ("forest", "n_estimators", "10001"), ("forest", "n_estimators", "None"),
    ("forest", "n_estimators", "1e2"), ("forest", "n_estimators", ""), ("forest", "max_depth", "0"),
    ("forest", "min_samples_split", "1"), ("forest", "min_samples_split", "1.5"),
    ("forest", "min_samples_split", "0.0"), ("forest", "min_samples_leaf", "0"),
    ("forest", "min_samples_leaf", "1.0"), ("forest", "max_features", "0"), ("forest", "max_features", "auto"),
    ("forest", "max_features", "9"), ("forest", "max_features", "1.1"), ("forest", "bootstrap", "2"),
    ("forest", "random_state", "-1"), ("forest", "random_state", "4294967296"),
    ("logistic", "C", "0"), ("logistic", "C", "-1"), ("logistic", "C", "inf"), ("logistic", "C", "nan"),
    ("logistic", "C", "0x1p3"), ("logistic", "C", "1,5"), ("logistic", "learning_rate", "0"),
    ("logistic", "max_iter", "0"), ("logistic", "momentum", "1"), ("logistic", "momentum", "-0.1"),
    ("logistic", "batch_size", "0"), ("knn", "n_neighbors", "0"), ("knn", "n_neighbors", "121"),
    ("knn", "weights", "heavy"), ("knn", "weights", "Uniform"), ("tree", "n_estimators", "5"),
    ("logistic", "max_depth", "5"), ("knn", "C", "1"), ("tree", "bootstrap", "True"),
]


@pytest.mark.parametrize("algorithm,key,value", BAD_VALUES)
def test_bad_value(work, algorithm, key, value):
    """From the command line and from the run; the run's state says failed, and nothing else is left."""
    d, run = split(work), work / "run"
    said = refused("train", "--data", d, "--run", run, "--algorithm", algorithm, f"--{key}={value}")
    assert key in said and not run.exists()
    put(run, algorithm=algorithm + "\n", **{key: value + "\n"})
    said = refused("train", "--data", d, "--run", run)
    assert key in said
    assert (run / "status").read_text() == "failed\n"
    assert sorted(tree_of(run)) == sorted(["params", "params/algorithm", f"params/{key}", "status"])


def test_unknown_param_in_the_run(work):
    run = work / "run"
    put(run, bogus="1\n")
    said = refused("train", "--data", split(work), "--run", run)
    assert said == f"iris: {run}/params/bogus:1: unknown parameter 'bogus'"
    assert (run / "status").read_text() == "failed\n"


@pytest.mark.parametrize("first,second", [("run", "line"), ("run", "file"), ("file", "line"), ("line", "line")])
def test_said_twice_differently(work, first, second):
    run, options = work / "run", []
    for i, source in enumerate((first, second)):
        value = str(3 + i)
        if source == "run":
            put(run, max_depth=value + "\n")
        elif source == "file":
            (work / "p.yaml").write_text(f"max_depth: {value}\n")
            options += ["--params", work / "p.yaml"]
        else:
            options += ["--max-depth", value]
    said = refused("train", "--data", split(work), "--run", run, *options)
    assert re.search(r"max_depth is (3|4), but .* says (4|3)$", said)
    assert all({"run": "run/params/max_depth:1", "file": "p.yaml:1", "line": "--max-depth"}[x] in said
               for x in (first, second))


def test_params_are_written_once(work):
    d, run = split(work), work / "run"
    train(d, run, "--max-depth", "3")
    train(d, run, "--max-depth", "3")
    before = tree_of(run)
    said = refused("train", "--data", d, "--run", run, "--max-depth", "4")
    assert said == f"iris: {run}/params/max_depth:1: max_depth is 3, but --max-depth says 4"
    after = tree_of(run)
    assert after.pop("status") == b"failed\n" and after == before


def test_divergence_is_an_error(work):
    run = work / "run"
    said = refused("train", "--data", split(work), "--run", run, "--algorithm", "logistic",
                   "--learning-rate", "1000", "--C", "0.001")
    assert "learning_rate 1000 is too large" in said
    assert not run.exists()


# ---- the run's state --------------------------------------------------------------------------


@pytest.mark.parametrize("status,then", [("running\n", "failed\n"), ("scheduled\n", "failed\n"),
                                         ("finished\n", "finished\n"), ("FAILED\n", "FAILED\n"),
                                         ("killed\n", "killed\n")])
def test_an_error_says_failed_only_of_a_run_that_goes_on(work, status, then):
    run = work / "run"
    run.mkdir()
    (run / "status").write_text(status)
    refused("train", "--data", work / "nothing", "--run", run)
    assert (run / "status").read_text() == then


def test_usage_says_nothing_of_the_run(work):
    (work / "run").mkdir()
    refused("train", "--data", work, "--run", work / "run", "--bogus", "1", status=2)
    assert not (work / "run/status").exists()


def test_bad_data_names_the_line(work):
    d = split(work)
    (d / "train.csv").write_text(HEADER + "1,2,3,4,a\n1,2,nan,4,b\n")
    said = refused("train", "--data", d, "--run", work / "run")
    assert said.startswith(f"iris: {d}/train.csv:3: petal_length is 'nan'")
    assert not (work / "run").exists()


def test_usage(work):
    d = split(work)
    assert "--run RUN_DIR or --out DIR" in refused("train", "--data", d, status=2)
    refused("train", "--data", d, "--out", work / "o", "--n-estimators", status=2)
    refused("train", "--run", work / "run", status=2)
    refused("train", "--data", d, "--out", "", status=2)
    assert sorted(os.listdir(work)) == ["split"]


def test_full_disk_leaves_no_half_model(work):
    """A model that cannot be written: the old one stays, no temporary file does."""
    d, run = split(work), work / "run"
    train(d, run, "--algorithm", "knn")
    old = tree_of(run / "artifacts")
    harness.sh(f"""
        ulimit -f 1; trap '' XFSZ
        if {harness.IRIS} train --data {d} --run {run} --out {work}/o --algorithm knn 2>{work}/err; then exit 9; fi
    """)
    assert "File too large" in (work / "err").read_text()
    assert tree_of(run / "artifacts") == old
    assert tree_of(work / "o") == {}
    assert (run / "status").read_text() == "failed\n"
