# SPDX-License-Identifier: Apache-2.0
"""What trainer/README.md, trainer/MODEL.md and iris(1) say of the trainer is so."""

import re
import shutil
import subprocess

import harness
import pytest

from trainer.iris_helper import DATA, refused

COMMANDS = ("prepare", "train", "evaluate", "predict", "deploy")
MAN = harness.ROOT / "tools/man/iris.1"


def synopsis():
    """The SYNOPSIS of the man page, a command a line, as --help writes it."""
    text = MAN.read_text().split(".Sh SYNOPSIS\n")[1].split(".Sh ")[0]
    lines = []
    for line in text.splitlines():
        if m := re.fullmatch(r"\.Nm (.+)", line):
            lines.append(m[1])
        elif m := re.fullmatch(r"\.Op Fl (-\S+) Ar (.+)", line):
            lines[-1] += f" [-{m[1]} {m[2]}]"
        elif m := re.fullmatch(r"\.Fl (-\S+) Ar (.+)", line):
            lines[-1] += f" -{m[1]} {m[2]}"
        else:
            raise AssertionError(line)
    return lines


def test_help_is_the_man_page():
    said = harness.iris("--help").stdout
    assert [x.strip() for x in said.splitlines() if x.startswith("  iris ")] == synopsis()
    for usage in synopsis():
        name = usage.split()[1]
        for asked in (("help", name), (name, "--help"), (name, "-h")):
            assert harness.iris(*asked).stdout.splitlines()[0] == f"usage: {usage}"


def test_every_option_is_explained():
    page = MAN.read_text()
    for name in COMMANDS:
        section = page.split(f".Ss iris {name}\n")[1].split("\n.S")[0]
        options = re.findall(r"^  --([a-z-]+) +[A-Z]", harness.iris(name, "--help").stdout, re.M)
        assert options
        assert re.findall(r"^\.It Fl -([a-z-]+) Ar", section, re.M) == options


def help_params():
    """{name: {algorithm: default}} as --help tells."""
    found = {}
    said = harness.iris("train", "--help").stdout.split("\nParameters")[1]
    for name, defaults in re.findall(r"^  --(\w+) +.*\((.*)\)$", said, re.M):
        if name != "algorithm":
            found[name] = dict(x.split(" ") for x in defaults.split(", "))
    return found


def test_readme_has_the_defaults():
    text = (harness.ROOT / "trainer/README.md").read_text()
    want = help_params()
    assert len(want) == 14
    for algorithm in ("forest", "tree", "logistic", "knn"):
        row = re.search(rf"^\| `{algorithm}` \| (.*?) \|", text, re.M)[1]
        told = dict(x.split(" ") for x in row.split(", "))
        assert told == {k: v[algorithm] for k, v in want.items() if algorithm in v and k != "random_state"}
        assert want["random_state"][algorithm] == "42" and "random_state 42" in text


def test_man_page_has_the_parameters():
    table = MAN.read_text().split(".Bl -column")[1].split(".El")[0]
    assert re.findall(r"^\.It (\w+) Ta", table, re.M)[1:] == list(help_params())


def test_mandoc_is_content():
    if not shutil.which("mandoc"):
        pytest.skip("needs mandoc")
    p = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(MAN)], capture_output=True, text=True, check=False)
    assert p.stdout == "" and p.returncode == 0


def test_model_example(work):
    text = (harness.ROOT / "trainer/MODEL.md").read_text().split("## Example")[1]
    lines = [x[4:] for x in text.splitlines() if x.startswith("    ")]
    (work / "model.txt").write_text("\n".join(lines) + "\n")
    p = harness.iris("predict", "--model", work, input="5.1,3.5,1.4,0.2\n6,3,4.5,1.5\n")
    assert p.stdout == "prediction,p_setosa,p_versicolor\nsetosa,1,0\nversicolor,0,1\n"


def test_man_examples(work):
    lines = MAN.read_text().split(".Bd -literal\n")[1].split(".Ed")[0]
    (work / "trainer").mkdir()
    shutil.copytree(DATA, work / "trainer/data")
    said = harness.sh(lines, cwd=work).stdout
    assert said.rstrip().splitlines()[-1].startswith("setosa,")


def test_the_two_tables_differ_in_two_rows():
    a, b = ((DATA / f"iris-{n}.csv").read_text().splitlines() for n in ("uci", "fisher"))
    assert [i for i, (x, y) in enumerate(zip(a, b)) if x != y] == [35, 38] and len(a) == len(b) == 151


def test_unknown_command():
    assert "unknown command 'fly?'" in refused("fly\n", status=2)
    assert "a command is missing" in refused(status=2)
    assert re.match(r"iris \d", harness.iris("--version").stdout)


def test_needs_nothing_of_labfs():
    """Neither a header nor a library of ours."""
    for path in (harness.ROOT / "trainer").glob("*.[ch]"):
        for name in re.findall(r'^#include "(.*)"', path.read_text(), re.M):
            assert name.startswith("trainer/"), path
    needed = subprocess.run(["ldd", harness.IRIS], capture_output=True, text=True, check=True).stdout
    libs = set(re.findall(r"(lib[a-z]+)[.\d-]*so", needed)) - {"libasan", "libubsan", "libtsan", "libgcc"}
    assert libs <= {"libm", "libc", "libcjson", "libyaml", "libpthread", "libdl", "librt"}, needed
