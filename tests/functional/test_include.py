"""A configuration of several files: one proxy, and faults that name their file."""

import pytest
import yaml

import net
import ports
from backends import greeter
from daemon import run

MAIN = "include: ['conf.d/*.yaml', pools.yaml]\n"


def listener(name, bind):
    return f"listeners:\n  {name}: {{bind: '{bind}', pool: {name}}}\n"


def pools(**servers):
    return "pools:\n" + "".join(f"  {n}: {{servers: ['{s}']}}\n" for n, s in servers.items())


@pytest.fixture
def files(tmp_path):
    """Factory: write files, {name: text}; returns the path of weft.yaml."""

    def make(named):
        for name, text in named.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "weft.yaml"

    return make


def faults(path, **options):
    done = run("-t", "-c", path, **options)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_file_is_served(weft, backend, files):
    one, two = (f"127.0.0.1:{ports.free_port()}" for _ in range(2))
    path = files(
        {
            "weft.yaml": MAIN,
            "conf.d/1.yaml": listener("one", one),
            "conf.d/2.yaml": listener("two", two),
            "conf.d/2.yaml~": "not this: [",
            "pools.yaml": pools(
                one=backend(greeter("1")).address, two=backend(greeter("2")).address
            ),
        }
    )
    assert run("-t", "-c", path).stdout == f"{path}: ok\n"
    daemon = weft(arguments=["-c", path], ready=False)
    daemon.config = {"listeners": {"one": {"bind": one}, "two": {"bind": two}}}
    daemon.wait_ready()
    assert net.read_all(daemon.connect(one)) == b"1"
    assert net.read_all(daemon.connect(two)) == b"2"


def test_relative_paths_begin_at_the_file(files, tmp_path):
    """Wherever weft is started, and by whatever path the file is named."""
    path = files(
        {
            "weft.yaml": MAIN,
            "conf.d/1.yaml": "include: ../more/2.yaml\n" + listener("one", ":1"),
            "more/2.yaml": pools(one="127.0.0.1:1"),
            "pools.yaml": "",
        }
    )
    ways = ((tmp_path, "weft.yaml"), ("/", path), (tmp_path / "more", "../weft.yaml"))
    for directory, name in ways:
        done = run("-t", "-c", name, cwd=directory)
        assert (done.returncode, done.stderr) == (0, "")


def test_faults_name_their_file(files, tmp_path):
    path = files(
        {
            "weft.yaml": MAIN + listener("one", ":1"),
            "conf.d/1.yaml": "weft: {workers: 1}\n" + listener("two", ":2"),
            "conf.d/2.yaml": "\n" + listener("one", ":3"),
            "pools.yaml": pools(one="127.0.0.1"),
        }
    )
    told = faults(path)
    places = [fault.split(": error: ")[0] for fault in told]
    assert places == [
        f"{tmp_path}/conf.d/1.yaml:1:1",
        f"{tmp_path}/conf.d/1.yaml:3:27",
        f"{tmp_path}/conf.d/2.yaml:3:3",
        f"{tmp_path}/pools.yaml:2:19",
    ]
    assert "included file" in told[0]
    assert "unknown pool 'two'" in told[1]
    assert f"duplicate listener 'one', first at {path}:3:3" in told[2]


def test_what_cannot_be_included(files, tmp_path):
    path = files({"weft.yaml": "include: [missing.yaml, weft.yaml, none-*.yaml]\n"})
    told = faults(path)
    assert len(told) == 2
    assert told[0].startswith(f"{path}:1:11: error: ")
    assert f"{tmp_path}/missing.yaml" in told[0] and "No such file" in told[0]
    assert told[1].startswith(f"{path}:1:25: error: ")
    assert "itself" in told[1]


def test_the_dump_is_one_file(files, tmp_path):
    path = files(
        {
            "weft.yaml": MAIN + listener("one", ":1"),
            "conf.d/1.yaml": listener("two", ":2"),
            "pools.yaml": pools(one="127.0.0.1:1", two="127.0.0.1:2"),
        }
    )
    dump = run("-T", "-c", path).stdout
    tree = yaml.safe_load(dump)
    assert "include" not in tree
    assert list(tree["listeners"]) == ["one", "two"]
    assert list(tree["pools"]) == ["one", "two"]
    merged = tmp_path / "merged.yaml"
    merged.write_text(dump, encoding="utf-8")
    assert run("-T", "-c", merged).stdout == dump


def test_a_thousand_files(files):
    """Far more than a process may have open by default."""
    count = 1100
    named = {
        f"conf.d/{n:04}.yaml": listener(f"l{n}", f"unix:/run/{n}")
        + pools(**{f"l{n}": f"127.0.0.1:{n + 1}"})
        for n in range(count)
    }
    path = files({**named, "weft.yaml": "include: conf.d/*\n"})
    tree = yaml.load(run("-T", "-c", path).stdout, yaml.CSafeLoader)
    assert list(tree["listeners"]) == [f"l{n}" for n in range(count)]
