# SPDX-License-Identifier: Apache-2.0
"""labfs(1) and labfs-mount(8) say what the table of commands in tools/cli/main.c says, and nothing else."""

import re
import shutil
import subprocess

import harness
import pytest

MAN = harness.ROOT / "tools/man"
PAGE = MAN / "labfs.1"
OURS = ("labfs.1", "labfs-store.5", "labfs-mount.8")


def as_text(macros):
    """What a line of macros such as `Op Fl o Ar OPTIONS` reads like, as help writes it."""
    words, out, close = macros.split(), [], ""
    while words:
        word = words.pop(0)
        if word == "Op":
            out.append("[")
            close = "]"
        elif word == "Fl":
            out.append("-" + words.pop(0))
        elif word in ("Ar", "Cm"):
            out.append(words.pop(0))
        else:
            out.append(word)
    return " ".join(out).replace("[ ", "[") + close


def synopses(page):
    """{command: what follows its name} of the page's SYNOPSIS."""
    section = page.read_text(encoding="utf-8").split(".Sh SYNOPSIS\n")[1].split("\n.Sh ")[0]
    found, name = {}, None
    for line in section.splitlines():
        assert line.startswith("."), line
        if m := re.fullmatch(r"\.Nm labfs (\S+)", line):
            name = m[1]
            found[name] = ""
        else:
            found[name] = f"{found[name]} {as_text(line[1:])}".strip()
    return found


def listed():
    """The commands that `labfs help` lists, with their summaries."""
    return dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", harness.labfs("help").stdout, re.M))


def helped(command):
    """(synopsis, {option: (letter, value)}) of `labfs help COMMAND`, without the common options."""
    said = harness.labfs("help", command).stdout
    usage = re.fullmatch(rf"usage: labfs {command} ?(.*)", said.splitlines()[0])[1]
    rows = re.findall(r"^  (?:-(\w), |    )--([a-z-]+)(?: ([A-Z]+))? +\S", said, re.M)
    return usage, {name: (letter, value) for letter, name, value in rows}


COMMON = {"store": ("", "PATH"), "wait": ("", "SECONDS"), "help": ("h", "")}


def explained(section):
    """{option: (letter, value)} of the section's list of options."""
    found = {}
    for line in re.findall(r"^\.It (Fl .*)$", section, re.M):
        m = re.fullmatch(r"Fl (?:(\w) , Fl )?-([a-z-]+)(?: Ar (\S+))?", line)
        assert m, line
        found[m[2]] = (m[1] or "", m[3] or "")
    return found


def section_of(title):
    text = PAGE.read_text(encoding="utf-8")
    assert f".Ss {title}\n" in text, f"labfs.1 has no section '{title}'"
    return re.split(r"\n\.S[hs] ", text.split(f".Ss {title}\n")[1])[0]


def test_the_page_has_every_command_and_no_other():
    assert list(synopses(PAGE)) == list(listed())


def test_synopses_are_those_of_help():
    for command, synopsis in synopses(PAGE).items():
        assert helped(command)[0] == synopsis, command
    for command, synopsis in synopses(MAN / "labfs-mount.8").items():
        assert helped(command)[0] == synopsis, command


def test_options_are_those_of_help():
    assert explained(section_of("Options of every command")) == COMMON
    for command in listed():
        have = helped(command)[1]
        assert {k: have.pop(k) for k in COMMON} == COMMON
        assert explained(section_of(f"labfs {command}")) == have, command


def test_help_by_option_is_help_by_name():
    for command in listed():
        for asked in ("--help", "-h"):
            assert harness.labfs(command, asked).stdout == harness.labfs("help", command).stdout


def test_mount_options_of_the_page_are_those_of_the_program():
    """The program lists what it knows when it is given a word that it does not know."""
    text = (MAN / "labfs-mount.8").read_text(encoding="utf-8")
    section = text.split(".Ss Mount options\n")[1].split("\n.Sh ")[0]
    page = {m for m in re.findall(r"^\.It Cm ([a-z_]+)", section, re.M)}
    p = harness.labfs("mount", "-o", "nonsense", "/nowhere/store", "/nowhere/mnt", check=False)
    assert p.returncode == 2, p.stderr
    said = set(re.findall(r"[a-z_]+", p.stderr.split("(")[1].split(")")[0])) - {"hide"}
    assert page == {"allow_other", "group", "ro", "rw", "size", "versions"}
    assert said | {"rw"} == page | {"list"}


def test_settings_of_the_page_are_those_of_the_store(mount_shared):
    text = (MAN / "labfs-store.5").read_text(encoding="utf-8")
    section = text.split(".Ss Settings\n")[1].split("\n.Ss ")[0]
    page = re.findall(r"^\.It Cm ([a-z_]+)$", section, re.M)
    lines = harness.read(mount_shared / ".labfs/config").decode().splitlines()
    assert [line.split(" ")[0] for line in lines] == page


def test_files_of_the_page_are_those_of_a_store(mount_shared):
    """What a served store holds stands in labfs-store(5), daemon.log apart (the harness's is in the foreground)."""
    text = (MAN / "labfs-store.5").read_text(encoding="utf-8")
    section = text.split(".Ss Files\n")[1].split("\n.Ss ")[0]
    page = {name.rstrip("/") for name in re.findall(r"^\.It Pa (\S+)$", section, re.M)}
    assert {p.name for p in mount_shared.store.path.iterdir()} == page - {"daemon.log"}


def test_mandoc_is_content():
    if not shutil.which("mandoc"):
        pytest.skip("needs mandoc")
    for name in OURS:
        p = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(MAN / name)],
                           capture_output=True, text=True, check=False)
        assert p.stdout == "", name
