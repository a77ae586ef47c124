# SPDX-License-Identifier: Apache-2.0
"""Man page 7 against the program's table of paths, and the table against a real mount."""

import os
import re
import stat

from harness import ROOT, labfs, put

ENTRY = re.compile(r"^\.It Pa (\S+)\n([a-z]+), mode (\d{4})(, unlisted)?; read: (.*); write: (.*)\.$", re.M)


def program_table():
    rows = [line.split("\t") for line in labfs("tree-table").stdout.splitlines()]
    return [tuple(row) for row in rows]


def test_page_lists_what_the_program_has():
    page = (ROOT / "tools/man/labfs-tree.7").read_text()
    paths = page.split(".Sh PATHS")[1].split(".Sh GRAMMAR")[0]
    listed = [(path, kind, mode, "unlisted" if unlisted else "listed", read, write)
              for path, kind, mode, unlisted, read, write in ENTRY.findall(paths)]
    assert paths.count(".It Pa") == len(listed), "an entry is not in the form that this test reads"
    assert listed == program_table()


def test_grammar_has_every_word():
    page = (ROOT / "tools/man/labfs-tree.7").read_text()
    grammar = page.split(".Sh GRAMMAR")[1].split(".Sh NAMES")[0]
    words = set()
    for line in re.findall(r"^\.It Sy (.*)$", grammar, re.M):
        words.add(line)
        words.update(line.split(" , "))
    for path, kind, _mode, _listed, read, write in program_table():
        for grammar_word in (read, write) if kind in ("value", "view", "text", "symlink") else ():
            if grammar_word not in ("-", "ln -sfn, rm"):
                assert grammar_word in words, f"{path}: {grammar_word!r} is not explained"


def test_mount_has_what_the_table_says(mount):
    (mount / "experiments/E").mkdir()
    run = mount.new_run("E")
    child = mount.new_run("E")
    for path, data in (("params/KEY", "1\n"), ("metrics/KEY", "1\n"), ("tags/KEY", "t\n")):
        put(run / path, data)
    put(child / "parent", run.name + "\n")
    put(mount / "experiments/E/tags/KEY", "t\n")
    for space in ("data", "models"):
        put(mount / space / "NAME.EXT", "x\n")
        (mount / space / "TREE").mkdir()
        put(mount / space / "TREE/f", "x\n")
        put(mount / space / "TREE/.commit", "first\n")
        os.symlink("NAME@v1.EXT", mount / space / "NAME@WORD.EXT")
        for way in ("inputs", "outputs"):
            os.symlink(f"../../../../{space}/NAME@v1.EXT", run / way / space / "NAME@v1.EXT")
    uuid = re.search(r'"uuid": "(\w+)"', (run / "run.json").read_text())[1]
    put(run / "procs", "0\n")

    def real(path):
        for pattern, name in (("/experiments/E/RUN", f"/experiments/E/{run.name}"),
                              ("/children/RUN", f"/children/{child.name}"),
                              ("/runs/RUN", f"/runs/{run.name}"), ("/runs/UUID", f"/runs/{uuid}"),
                              ("puts/data/V", "puts/data/NAME@v1.EXT"), ("puts/models/V", "puts/models/NAME@v1.EXT"),
                              ("/data/NAME/", "/data/TREE/"), ("/data/NAME@vN/", "/data/TREE@v1/"), ("@vN", "@v1")):
            path = path.replace(pattern, name)
        return mount.path / path.lstrip("/")

    types = {"dir": stat.S_IFDIR, "tree": stat.S_IFDIR, "symlink": stat.S_IFLNK}
    for path, kind, mode, listed, _read, _write in program_table():
        st = os.lstat(real(path))
        want = types.get(kind, stat.S_IFDIR if path.endswith("/") else stat.S_IFREG)
        assert stat.S_IFMT(st.st_mode) == want, f"{path}: type {st.st_mode:o}"
        if kind not in ("tree", "head", "version"):  # these have the mode that they were given
            assert stat.S_IMODE(st.st_mode) == int(mode, 8), f"{path}: mode {st.st_mode:o}"
        names = os.listdir(real(path).parent)
        if not path.startswith("/.labfs/"):
            assert (real(path).name in names) == (listed == "listed"), f"{path} is {listed}"
        if stat.S_ISLNK(st.st_mode):
            assert st.st_size == len(os.readlink(real(path))), path
