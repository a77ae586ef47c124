# SPDX-License-Identifier: Apache-2.0
"""store/FORMAT.md, section 0: the version file byte for byte and what it makes of others, the tables, the backup."""

import re
import tarfile

import harness

FORMAT = (harness.ROOT / "store/FORMAT.md").read_text(encoding="utf-8")
SECTION = FORMAT.split("\n## 0. ")[1].split("\n## ")[0]
GOLDEN = harness.ROOT / "tests/golden/store-version"


def hex_lines(block):
    """The bytes of an annotated hex listing."""
    columns = [re.match(r"(?:[0-9a-f]{2} ?)+", line)[0] for line in block.strip().splitlines()]
    return bytes.fromhex("".join(columns))


def listings():
    return [hex_lines(b) for b in re.findall(r"^```\n((?:[0-9a-f]{2} .*\n)+)```$", SECTION, re.M)]


def test_the_version_file_is_as_written_down(store):
    made = (store.path / "version").read_bytes()
    assert made == GOLDEN.read_bytes() == listings()[0]


def test_the_setting_is_as_written_down():
    assert listings()[1] == b"\x01config.versions" + b"hide"


def version(store, text):
    (store.path / "version").write_text(text)
    return store.fsck(check=False)


def test_what_a_newer_version_file_does(store):
    good = GOLDEN.read_text()
    p = version(store, good.replace("store 1", "store 2"))
    assert p.returncode == 4 and "newer labfs" in p.stderr and "format 2" in p.stderr
    p = version(store, good.replace("incompat 00000000", "incompat 00000004"))
    assert p.returncode == 4 and "newer labfs" in p.stderr and "00000004" in p.stderr
    p = version(store, good.replace("\ncompat 00000000", "\ncompat 00000004"))
    assert p.returncode == 0, p.stderr
    p = version(store, good.splitlines()[0] + "\n")
    assert p.returncode == 5 and "damaged" in p.stderr
    p = version(store, "something else\n")
    assert p.returncode == 5 and "not the version file" in p.stderr
    (store.path / "version").unlink()
    assert store.fsck(check=False).returncode == 3


def test_an_unknown_ro_compat_bit_makes_it_read_only(store):
    text = GOLDEN.read_text().replace("ro_compat 00000000", "ro_compat 00000001")
    assert version(store, text).returncode == 0
    with store.mount() as m:
        assert (m / "experiments/Default").is_dir()
        with harness.refused(30):  # EROFS
            (m / "experiments/other").mkdir()


def test_tables_are_those_of_the_header():
    header = (harness.ROOT / "store/kv/tables.h").read_text()
    have = {int(n): name for name, n in re.findall(r"TABLE_(\w+)\s*=\s*(\d+)", header)}
    told = {int(n): name for n, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", SECTION, re.M)}
    assert told == have


def test_files_are_those_of_a_served_store(mount):
    told = {n.rstrip("/") for n in re.findall(r"^\| `([\w./]+)` \|", SECTION.split("### ")[0], re.M)}
    here = {p.name for p in mount.store.path.iterdir()}
    assert here <= told, here - told
    assert {"version", "kv", "segments", "dirty", "lock", "socket"} <= here


def test_a_backup_holds_what_is_written_down(store, work):
    store.labfs("backup", work / "b.tar")
    with tarfile.open(work / "b.tar") as tar:
        members = tar.getmembers()
    assert members[0].name == "version" and members[-1].name == "end"
    for m in members:
        assert m.isreg() and m.mode & 0o777 == 0o600, m.name
        assert m.name in ("version", "end") or re.fullmatch(r"(kv|segments|dirty)/[^/]+", m.name), m.name


def test_a_foreign_archive_is_no_backup(work):
    for name in ("../evil", "kv/../../evil", "other/file", "kv/a/b", "/etc/x"):
        with tarfile.open(work / "f.tar", "w") as tar:
            tar.add(GOLDEN, "version")
            tar.add(GOLDEN, name)
        p = harness.labfs("init", "--from", work / "f.tar", work / "restored", check=False)
        assert p.returncode == 5 and "not a backup" in p.stderr, name
        assert not (work / "restored").exists() and not (work / "evil").exists()
