#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare_sklearn.py - hold `iris` against scikit-learn's estimators of the same name and params.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install scikit-learn
    make build/iris && /tmp/venv/bin/python trainer/compare_sklearn.py [--iris build/iris] [FILE.csv]

Each row of the table is the mean accuracy of 5 x 5-fold stratified cross-validation, both programs on
the very same folds: the folds are written as train.csv and test.csv, and `iris train` and `iris
evaluate` do the rest.  Exits 1 if any two differ by more than 0.015.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile

import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

HERE = os.path.dirname(os.path.abspath(__file__))
BAR = 0.015
# algorithm, params as `iris` spells them, the estimator with the same
CASES = [
    ("forest", {}, RandomForestClassifier(random_state=42)),
    ("forest", {"n_estimators": 30, "max_depth": 2},
     RandomForestClassifier(n_estimators=30, max_depth=2, random_state=42)),
    ("forest", {"bootstrap": False, "max_features": 1},
     RandomForestClassifier(bootstrap=False, max_features=1, random_state=42)),
    ("forest", {"min_samples_leaf": 8, "max_features": None},
     RandomForestClassifier(min_samples_leaf=8, max_features=None, random_state=42)),
    ("tree", {}, DecisionTreeClassifier(random_state=42)),
    ("tree", {"max_depth": 2}, DecisionTreeClassifier(max_depth=2, random_state=42)),
    ("tree", {"min_samples_split": 0.5, "min_samples_leaf": 5},
     DecisionTreeClassifier(min_samples_split=0.5, min_samples_leaf=5, random_state=42)),
    ("logistic", {}, LogisticRegression(max_iter=10000)),
    ("logistic", {"C": 0.01}, LogisticRegression(C=0.01, max_iter=10000)),
    ("logistic", {"C": 100}, LogisticRegression(C=100, max_iter=10000)),
    ("knn", {}, KNeighborsClassifier()),
    ("knn", {"n_neighbors": 15, "weights": "distance"},
     KNeighborsClassifier(n_neighbors=15, weights="distance")),
    ("knn", {"n_neighbors": 1}, KNeighborsClassifier(n_neighbors=1)),
]


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows([header] + rows)


def ours(iris, folder, algorithm, params):
    options = [x for k, v in params.items() for x in (f"--{k}", str(v))]
    model, metrics = os.path.join(folder, "model"), os.path.join(folder, "metrics.json")
    subprocess.run([iris, "train", "--data", folder, "--out", model, "--algorithm", algorithm, *options],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([iris, "evaluate", "--data", folder, "--model", model, "--metrics", metrics],
                   check=True, stdout=subprocess.DEVNULL)
    with open(metrics, encoding="utf-8") as f:
        return json.load(f)["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--iris", default=os.path.join(HERE, "..", "build", "iris"))
    parser.add_argument("file", nargs="?", default=os.path.join(HERE, "data", "iris-fisher.csv"))
    args = parser.parse_args()
    with open(args.file, newline="", encoding="utf-8") as f:
        header, *rows = list(csv.reader(f))
    x, y = [[float(v) for v in r[:4]] for r in rows], [r[4] for r in rows]
    folds = list(RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=0).split(x, y))
    worst = 0.0

    print(f"scikit-learn {sklearn.__version__}, {os.path.basename(args.file)}, {len(folds)} folds")
    print("| algorithm | params | iris | scikit-learn | difference |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as top:
        places = []
        for i, (train, test) in enumerate(folds):
            folder = os.path.join(top, str(i))
            os.mkdir(folder)
            write_csv(os.path.join(folder, "train.csv"), header, [rows[j] for j in train])
            write_csv(os.path.join(folder, "test.csv"), header, [rows[j] for j in test])
            places.append((folder, train, test))
        for algorithm, params, estimator in CASES:
            a = b = 0.0
            for folder, train, test in places:
                a += ours(args.iris, folder, algorithm, params) / len(places)
                estimator.fit([x[j] for j in train], [y[j] for j in train])
                said = estimator.predict([x[j] for j in test])
                b += accuracy_score([y[j] for j in test], said) / len(places)
            worst = max(worst, abs(a - b))
            text = ", ".join(f"{k}={v}" for k, v in params.items()) or "defaults"
            print(f"| {algorithm} | {text} | {a:.4f} | {b:.4f} | {a - b:+.4f} |", flush=True)
    print(f"\nlargest difference {worst:.4f}, allowed {BAR}")
    return 1 if worst > BAR else 0


if __name__ == "__main__":
    sys.exit(main())
