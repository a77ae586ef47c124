# SPDX-License-Identifier: Apache-2.0
"""ARCHITECTURE.md's closed lists are closed: errors and their exit status, dependencies."""

import re

import harness

TEXT = (harness.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def sources(*folders):
    for folder in folders:
        for path in sorted((harness.ROOT / folder).rglob("*.[ch]")):
            yield path, re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)


def section(title):
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def listed_errors():
    """{errno name: exit status}"""
    found = {}
    for names, status in re.findall(r"^\| (E[A-Z0-9, ]+) \|.*\| (\d+) \|$", section("Errors"), re.M):
        for name in names.split(", "):
            assert name not in found, f"{name} is listed twice"
            found[name] = int(status)
    assert len(found) > 30
    return found


def test_every_errno_is_listed():
    used = {}
    for path, text in sources("store", "fs", "tools"):
        for name in re.findall(r"-(E(?!ND\b)[A-Z0-9]{2,})\b", text):
            used.setdefault(name, path.name)
    assert {n: f for n, f in used.items() if n not in listed_errors()} == {}


def test_exit_statuses_are_those_of_the_program():
    """The rows of exit_code_of() in tools/cli/command.c."""
    text = (harness.ROOT / "tools/cli/command.c").read_text(encoding="utf-8")
    body = text.split("enum exit_code exit_code_of(int rc)")[1].split("\n}\n")[0]
    code = {}
    for labels, result in re.findall(r"((?:case \w+:\s*)+)return (EXIT_\w+);", body):
        for name in re.findall(r"case (\w+):", labels):
            code[name] = result
    number = dict(re.findall(r"(EXIT_\w+) = (\d+),", (harness.ROOT / "tools/cli/command.h").read_text()))
    default = re.search(r"default:\s*return (EXIT_\w+);", body)[1]
    for name, status in listed_errors().items():
        assert int(number[code.get(name, default)]) == status, name


def test_every_library_has_its_reason():
    makefile = (harness.ROOT / "Makefile").read_text(encoding="utf-8")
    pkgs = set(re.search(r"^PKGS := (.*)$", makefile, re.M)[1].split()) | {"lmdb"}
    reason = {"fuse3": "libfuse3", "lmdb": "LMDB", "libxxhash": "xxHash", "libzstd": "zstd", "libcrypto": "libcrypto",
              "libcjson": "cJSON", "libarchive": "libarchive", "yaml-0.1": "libyaml"}
    rows = section("Dependencies")
    for pkg in pkgs:
        assert f"| {reason[pkg]}" in rows, pkg


def test_every_folder_has_its_layer():
    rows = section("Layers")
    for folder in ("store", "tools"):
        for sub in (harness.ROOT / folder).iterdir():
            if sub.is_dir() and list(sub.glob("*.c")):
                assert f"`{folder}/{sub.name}/`" in rows, sub
