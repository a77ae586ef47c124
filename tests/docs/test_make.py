# SPDX-License-Identifier: Apache-2.0
"""make's targets that people and packagers use, and the runner's own arithmetic."""

import importlib.util
import os
import re
from pathlib import Path

import harness

BUILD = str(Path(harness.LABFS).resolve().parent.parent)  # build/labfs is a link to build/MODE/labfs


def make(*args, **kw):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return harness.run(["make", "--no-print-directory", f"BUILD={BUILD}", *args], cwd=harness.ROOT,
                       env=env, **kw)


def files_below(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir())


def test_install_and_uninstall(work):
    make("install", f"DESTDIR={work}", "PREFIX=/usr")
    have = files_below(work)
    assert "usr/bin/labfs" in have
    assert os.stat(work / "usr/bin/labfs").st_mode & 0o7777 == 0o755
    for page in (harness.ROOT / "tools/man").glob("*.[1578]"):
        assert f"usr/share/man/man{page.suffix[1:]}/{page.name}" in have
    p = harness.run([str(work / "usr/bin/labfs"), "version"])
    assert re.search(r"\d+\.\d+", p.stdout)
    make("uninstall", f"DESTDIR={work}", "PREFIX=/usr")
    assert files_below(work) == []


def test_help_names_every_target_of_the_readme():
    shown = make("help").stdout
    for target in ("all", "check", "check-unit", "demo", "install", "uninstall", "clean", "dist", "lint"):
        assert re.search(rf"^  .*\b{target}\b", shown, re.M), target


def test_install_deps_is_silent_when_all_is_there():
    p = harness.run(["sh", "tools/install-deps.sh", "build", "test"], cwd=harness.ROOT)
    assert p.stdout + p.stderr == ""


def test_install_deps_refuses_an_unknown_set():
    p = harness.run(["sh", "tools/install-deps.sh", "nonsense"], cwd=harness.ROOT, check=False)
    assert p.returncode == 2 and "usage" in p.stderr


def test_install_deps_says_what_to_do_without_root(work):
    """A PATH with a dpkg-query that knows no package, an id that says 1000, and no sudo."""
    for name, body in (("dpkg-query", ":"), ("apt-get", "exit 1"), ("id", "echo 1000")):
        (work / name).write_text(f"#!/bin/sh\n{body}\n")
        (work / name).chmod(0o755)
    for name in ("sh", "sed", "tr"):
        (work / name).symlink_to(f"/usr/bin/{name}")
    p = harness.run(["/usr/bin/env", f"PATH={work}", "/bin/sh", "tools/install-deps.sh", "build"],
                    cwd=harness.ROOT, check=False)
    assert p.returncode == 1
    assert "apt-get install -y" in p.stderr and "libfuse3-dev" in p.stderr


def load(name):
    spec = importlib.util.spec_from_file_location(name, harness.ROOT / "tests" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_runner_counts_tap():
    read_tap = load("run").read_tap
    assert read_tap("1..2\nok 1 - a\nok 2 - b\n", 0) == (2, 0, 0, None)
    assert read_tap("1..2\nok 1 - a\nnot ok 2 - b\n", 1) == (1, 1, 0, None)
    assert read_tap("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 0) == (1, 0, 1, None)
    assert read_tap("", 77) == (0, 0, 1, None)
    assert read_tap("1..2\nok 1 - a\n", -11) == (1, 1, 0, "killed by SIGSEGV")
    assert read_tap("1..2\nok 1 - a\nok 2 - b\n", 99)[:3] == (2, 1, 0)
    assert read_tap("1..3\nok 1 - a\n", 0)[:3] == (1, 1, 0)
    assert read_tap("hello\n", 0)[:3] == (0, 1, 0)


def test_runner_refuses_hidden_skips(monkeypatch):
    run = load("run")
    monkeypatch.setattr(run.os, "access", lambda path, how: True)
    assert run.bad_skip("fs.test_runs", "no /dev/fuse")
    assert not run.bad_skip("fs.test_runs", "needs root")
    monkeypatch.setattr(run.os, "access", lambda path, how: False)
    assert not run.bad_skip("fs.test_runs", "no /dev/fuse")


def test_tidy_sees_what_it_must(work):
    tidy = load("tidy")
    up = list(tidy.check_includes("store/kv/x.c", '#include "store/cas/cas.h"\n#include <lmdb.h>\n'))
    assert [n for n, _ in up] == [1]
    assert len(list(tidy.check_includes("fs/x.c", '#include <lmdb.h>\n#include "tools/cli/a.h"\n'))) == 2
    assert len(list(tidy.check_includes("trainer/x.c", '#include "store/store.h"\n'))) == 1
    bad = "int f(void)\n{\n\tstrcpy(a, b);\n\tp->open(x);\n\treturn open(p, 0);\n}\n"
    assert [n for n, _ in tidy.check_calls("store/tree/x.c", tidy.strip(bad))] == [3, 5]
    assert tidy.strip('x = "strcpy(" /* sprintf( */;') == 'x = "" ;'
