# SPDX-License-Identifier: Apache-2.0
"""iris deploy on an ordinary folder: versions, the alias, and what moves neither."""

import os
import re

import harness
import pytest

from trainer.iris_helper import refused, split, train, tree_of


def a_run(work, name, *options):
    """A trained and scored run; the split is made by the first."""
    d = work / "split"
    if not d.exists():
        split(work)
    run = train(d, work / name, *options)
    harness.iris("evaluate", "--data", d, "--run", run)
    return run


def good(work, name="good"):
    return a_run(work, name, "--algorithm", "knn")


def bad(work, name="bad"):
    """Always says the same species: accuracy 1/3."""
    return a_run(work, name, "--algorithm", "knn", "--n-neighbors", "120")


def deploy(work, run, *options):
    return harness.iris("deploy", "--run", run, "--models", work / "models", *options).stdout


def links(work):
    return {p.name: os.readlink(p) for p in (work / "models").iterdir() if p.is_symlink()}


def test_first_version(work):
    run = good(work)
    assert deploy(work, run) == "iris@production -> iris@v1\n"
    models = work / "models"
    assert sorted(os.listdir(models)) == ["iris", "iris@production", "iris@v1"]
    assert links(work) == {"iris@production": "iris@v1"}
    model = tree_of(run / "artifacts/model")
    assert sorted(model) == ["model.txt", "model_metadata.json"]
    assert tree_of(models / "iris") == tree_of(models / "iris@v1") == model
    p = harness.iris("predict", "--model", models / "iris@production", input="5.1,3.5,1.4,0.2\n")
    assert p.stdout.splitlines()[1].startswith("setosa,")


def test_versions_count_on_and_equal_content_cuts_none(work):
    a, b = good(work, "a"), bad(work, "b")
    assert deploy(work, a) == deploy(work, a) == "iris@production -> iris@v1\n"
    assert deploy(work, b) == "iris@production -> iris@v2\n"
    assert deploy(work, a) == "iris@production -> iris@v3\n"
    models = work / "models"
    assert tree_of(models / "iris@v1") == tree_of(models / "iris@v3") == tree_of(a / "artifacts/model")
    assert tree_of(models / "iris@v2") == tree_of(b / "artifacts/model")


def test_strays_in_the_head_go(work):
    run = good(work)
    (work / "models/iris/old").mkdir(parents=True)
    (work / "models/iris/old/weights.bin").write_text("x")
    (work / "models/iris/.note").write_text("mine\n")
    deploy(work, run)
    assert sorted(os.listdir(work / "models/iris")) == [".note", "model.txt", "model_metadata.json"]


def test_whole_tree_is_deployed(work):
    run = good(work)
    (run / "artifacts/model/doc/more").mkdir(parents=True)
    (run / "artifacts/model/doc/more/card.md").write_text("# card\n")
    deploy(work, run)
    assert tree_of(work / "models/iris@v1") == tree_of(run / "artifacts/model")


def test_an_ended_run_can_be_deployed_and_is_not_touched(work):
    run = good(work)
    (run / "status").write_text("finished\n")
    before = tree_of(run)
    deploy(work, run)
    assert tree_of(run) == before


def better(work):
    return ("--if-better", "accuracy", "--data", work / "split")


def test_if_better(work):
    a, b = bad(work, "a"), good(work, "b")
    assert deploy(work, a, *better(work)) == "iris@production -> iris@v1\n", "nothing to be better than"
    said = deploy(work, b, *better(work))
    assert re.fullmatch(r"accuracy 0\.9\d*, iris@v1 had 0\.333\d*\niris@production -> iris@v2\n", said)


def test_if_better_refuses_a_worse_one(work):
    a, b = good(work, "a"), bad(work, "b")
    deploy(work, a)
    before, before_run = tree_of(work / "models"), tree_of(b)
    said = refused("deploy", "--run", b, "--models", work / "models", *better(work))
    assert re.search(r"not deployed: its accuracy of 0\.333\d* on 30 rows is worse than the 0\.9\d* of iris@v1", said)
    assert tree_of(work / "models") == before and links(work) == {"iris@production": "iris@v1"}
    assert tree_of(b) == before_run, "to be refused is no failure of the run"


def test_if_better_takes_an_equal_one(work):
    deploy(work, good(work, "a"))
    again = a_run(work, "b", "--algorithm", "knn", "--random-state", "7")
    assert deploy(work, again, *better(work)).endswith("iris@production -> iris@v2\n")


@pytest.mark.parametrize("metric", ["log_loss", "f1/macro", "recall/virginica"])
def test_if_better_by_other_metrics(work, metric):
    a, b = a_run(work, "a", "--algorithm", "logistic"), bad(work, "b")
    deploy(work, a)
    said = refused("deploy", "--run", b, "--models", work / "models", "--if-better", metric, "--data",
                   work / "split")
    assert f"its {metric} of" in said


def test_changed_model_is_not_what_was_evaluated(work):
    """The run's predictions.csv holds what its model said; another model in its place is refused."""
    a, b = good(work, "a"), bad(work, "b")
    deploy(work, a)
    before = tree_of(work / "models")
    for name in ("model.txt", "model_metadata.json"):
        (b / "artifacts/model" / name).write_bytes((a / "artifacts/model" / name).read_bytes())
    said = refused("deploy", "--run", b, "--models", work / "models")
    assert said.startswith(f"iris: {b}/artifacts/predictions.csv:") and "gave setosa '0.333" in said
    assert tree_of(work / "models") == before


def test_last_bit_counts(work):
    run = a_run(work, "run", "--algorithm", "logistic")
    path = run / "artifacts/predictions.csv"
    lines = path.read_text().splitlines()
    fields = lines[3].split(",")
    fields[-1] = repr(float(fields[-1]) * (1 + 2 ** -50))
    lines[3] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")
    assert f"{path}:4: " in refused("deploy", "--run", run, "--models", work / "models")
    assert not (work / "models").exists()


def test_run_without_predictions(work):
    split(work)
    run = train(work / "split", work / "run", "--n-estimators", "5")
    assert deploy(work, run) == "iris@production -> iris@v1\n"


def test_broken_models(work):
    run = good(work)
    model, metadata = run / "artifacts/model/model.txt", run / "artifacts/model/model_metadata.json"
    text = metadata.read_text()
    for wrong in ("", "[1]", text.replace('"knn"', '"tree"'), "{"):
        metadata.write_text(wrong)
        assert f"{metadata}:1: " in refused("deploy", "--run", run, "--models", work / "models")
    metadata.unlink()
    assert "No such file" in refused("deploy", "--run", run, "--models", work / "models")
    metadata.write_text(text)
    model.write_text(model.read_text()[:200])
    assert f"{model}:" in refused("deploy", "--run", run, "--models", work / "models")
    assert "no such run" in refused("deploy", "--run", work / "none", "--models", work / "models")
    assert not (work / "models").exists()


def test_link_in_a_model_is_refused(work):
    run = good(work)
    (run / "artifacts/model/passwd").symlink_to("/etc/passwd")
    assert "neither a file nor a directory" in refused("deploy", "--run", run, "--models", work / "models")
    assert not (work / "models/iris@v1").exists() and links(work) == {}


def test_broken_production(work):
    a, b = good(work, "a"), good(work, "b")
    deploy(work, a)
    (work / "models/iris@v1/model.txt").write_text("garbage\n")
    said = refused("deploy", "--run", b, "--models", work / "models", *better(work))
    assert "iris@production/model.txt:1: " in said
    assert links(work) == {"iris@production": "iris@v1"}


def test_alias_that_is_no_link(work):
    (work / "models/iris@production").mkdir(parents=True)
    said = refused("deploy", "--run", good(work), "--models", work / "models")
    assert "iris@production" in said and os.listdir(work / "models") == ["iris@production"]


def test_usage(work):
    run = good(work)
    refused("deploy", "--run", run, status=2)
    refused("deploy", "--models", work / "models", status=2)
    refused("deploy", "--run", run, "--models", work / "models", "--if-better", "accuracy", status=2)
    refused("deploy", "--run", run, "--models", work / "models", "--data", work / "split", status=2)
    said = refused("deploy", "--run", run, "--models", work / "models", "--if-better", "beauty", "--data",
                   work / "split", status=2)
    assert "'beauty' is no metric" in said
    assert not (work / "models").exists()
