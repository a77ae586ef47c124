# SPDX-License-Identifier: Apache-2.0
"""What must hold of the sources as a whole."""

import re

import harness
import pytest

TOP = {"Makefile", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE",
       "store", "fs", "tools", "trainer", "tests", "mountpoints"}


def tracked():
    p = harness.run(["git", "ls-files", "-z"], cwd=harness.ROOT, check=False)
    if p.returncode != 0:
        pytest.skip("needs a git checkout")
    return [n for n in p.stdout.split("\0") if n and (harness.ROOT / n).is_file()]


def test_the_top_level_holds_what_is_allowed():
    assert {n.split("/")[0] for n in tracked() if not n.startswith(".")} - TOP == set()


def test_no_path_of_a_build_machine():
    where = re.compile(rb"(?<![\w.~$}*?)\]-])/" + rb"work/")
    found = [n for n in tracked() if where.search((harness.ROOT / n).read_bytes())]
    assert found == []


def test_nothing_large_and_no_build_product():
    for name in tracked():
        size = (harness.ROOT / name).stat().st_size
        assert size < 1 << 20, f"{name}: {size} bytes"
        assert not name.endswith((".o", ".a", ".so", ".pyc", ".d")), name


def test_mountpoints_is_kept_empty():
    assert {n for n in tracked() if n.startswith("mountpoints/")} == {
        "mountpoints/.gitignore", "mountpoints/README.md"}


def test_every_c_file_is_in_the_makefile():
    """A source that no list names would never be compiled."""
    makefile = (harness.ROOT / "Makefile").read_text(encoding="utf-8")
    words = set(makefile.replace("\\\n", " ").split())
    unit = {f"tests/unit/{w}.c" for w in words if w.startswith("test_")}
    ours = [n for n in tracked() if n.endswith(".c") and not n.startswith("tests/fuzz/")]
    assert [n for n in ours if n not in words | unit] == []
