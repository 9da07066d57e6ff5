"""Files that ship with a release: which, under which address, and which never."""

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import CANARY, PRIVATE_KEY, application, problems_of, whats

from slipway.agent.release.rendering import referenced_paths
from slipway.compose.shipped_files import ShippedFiles, kept_on_host
from slipway.x_slipway.findings import Findings


def mounted(folder: Path, source: str, *, read_only: bool = True, **more: Any) -> tuple[ShippedFiles, dict[str, Any]]:
    files = ShippedFiles(folder, more.pop("repository", folder), Findings(), "staging")
    mount = files.mount("web", {"type": "bind", "source": source, "target": "/t", "read_only": read_only, **more})
    files.finish()
    return files, mount


def unpacked(files: ShippedFiles) -> dict[str, bytes]:
    """The one shipped folder's files."""
    [entry] = files.content.values()
    assert entry["folder"]
    listed = json.loads(base64.b64decode(entry["content"]))
    return {each["path"]: base64.b64decode(each["content"]) for each in listed}


# --- files


def test_a_read_only_file_ships_under_the_address_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "app.conf").write_bytes(b"\x00\xff binary \n")
    files, mount = mounted(tmp_path, "./app.conf")
    address = hashlib.sha256(b"\x00\xff binary \n").hexdigest()
    assert mount == {
        "type": "bind",
        "source": f"@files/{address}/app.conf",
        "target": "/t",
        "read_only": True,
        "bind": {"create_host_path": False},
    }
    assert files.content == {address: {"mode": 0o644, "content": base64.b64encode(b"\x00\xff binary \n").decode()}}
    assert (files.found.problems, files.found.warnings) == ([], [])


def test_an_unchanged_file_keeps_its_address_and_a_changed_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    _, first = mounted(tmp_path, "./a")
    os.utime(tmp_path / "a", (1, 1))
    _, again = mounted(tmp_path, "./a")
    (tmp_path / "a").write_text("two")
    _, changed = mounted(tmp_path, "./a")
    assert first == again != changed


def test_an_executable_file_stays_executable_however_its_twin_is(tmp_path: Path) -> None:
    for name, mode in (("run", 0o755), ("text", 0o600)):
        (tmp_path / name).write_text("same")
        (tmp_path / name).chmod(mode)
    for order in (("run", "text"), ("text", "run")):
        files = ShippedFiles(tmp_path, tmp_path, Findings(), "staging")
        for name in order:
            files.mount("web", {"type": "bind", "source": name, "target": "/t", "read_only": True})
        assert [entry["mode"] for entry in files.content.values()] == [0o755]


def test_a_file_that_is_mounted_writable_ships_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    files, mount = mounted(tmp_path, "./a", read_only=False)
    assert mount["source"].startswith("@files/")
    assert whats(files.found.warnings) == ["services.web: the file ./a is mounted writable"]


@pytest.mark.parametrize(
    ("mode", "read_only", "shipped"),
    [(0o600, False, 0o600), (0o700, False, 0o700), (0o664, False, 0o644), (0o600, True, 0o644)],
)
def test_a_writable_file_that_is_nobody_elses_stays_so(tmp_path: Path, mode: int, read_only: int, shipped: int) -> None:
    (tmp_path / "acme.json").touch()
    (tmp_path / "acme.json").chmod(mode)
    files, _ = mounted(tmp_path, "./acme.json", read_only=bool(read_only))
    assert [entry["mode"] for entry in files.content.values()] == [shipped]


def test_two_files_that_only_begin_alike_are_two_on_the_host(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").touch()
    files = ShippedFiles(tmp_path, tmp_path, Findings(), "staging")
    sources = [
        files.mount(service, {"type": "bind", "source": source, "target": "/t", "read_only": read_only})["source"]
        for service, source, read_only in (
            ("one", "a/log", False), ("two", "b/log", False), ("three", "a/log", True), ("four", "c/log", True),
        )
    ]  # fmt: skip
    assert [source.rsplit("/", 1)[1] for source in sources] == ["log", "_log", "log", "__log"]


def test_what_else_a_mount_says_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    _, mount = mounted(tmp_path, "./a", bind={"selinux": "z", "create_host_path": True}, consistency="cached")
    assert mount["bind"] == {"selinux": "z", "create_host_path": False}
    assert mount["consistency"] == "cached"


@pytest.mark.parametrize("name", ["a b", "ä.conf", "a$b", ".hidden", "-x", "a:b", "..x"])
def test_a_strange_name_ships_under_a_plain_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    _, mount = mounted(tmp_path, f"./{name}".replace("$", "$$"))
    [(_, shipped)] = referenced_paths({"source": mount["source"]})[0]
    assert all(character.isascii() and (character.isalnum() or character in "_.-") for character in shipped)


# --- folders


def test_a_read_only_folder_ships_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "conf" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "conf" / "empty").mkdir()
    (tmp_path / "conf" / "a").write_bytes(b"A")
    (tmp_path / "conf" / "deep" / "er" / "b").write_bytes(b"\xff")
    files, mount = mounted(tmp_path, "./conf")
    [address] = files.content
    assert mount["source"] == f"@files/{address}/conf"
    assert unpacked(files) == {"a": b"A", "deep/er/b": b"\xff"}
    assert hashlib.sha256(base64.b64decode(files.content[address]["content"])).hexdigest() == address


def test_a_folders_address_covers_names_contents_and_modes(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    seen = set()
    (folder / "a").write_text("1")
    seen.add(mounted(tmp_path, "./conf")[1]["source"])
    (folder / "a").write_text("2")
    seen.add(mounted(tmp_path, "./conf")[1]["source"])
    (folder / "a").rename(folder / "b")
    seen.add(mounted(tmp_path, "./conf")[1]["source"])
    (folder / "b").chmod(0o755)
    seen.add(mounted(tmp_path, "./conf")[1]["source"])
    assert len(seen) == 4


def test_an_empty_read_only_folder_ships_empty(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    files, _ = mounted(tmp_path, "./conf/")
    assert unpacked(files) == {}


def test_a_read_only_mount_of_nothing_is_refused(tmp_path: Path) -> None:
    files, _ = mounted(tmp_path, "./conf")
    assert whats(files.found.problems) == ["services.web: ./conf is neither a file nor a folder"]


@pytest.mark.parametrize(
    ("source", "target", "made"),
    [
        ("./certs", "/certs", True),
        ("./etc/conf.d", "/etc/app/conf.d", True),
        ("./nginx.conf/", "/etc/nginx", True),
        (".hidden", "/x", True),
        ("./nginx.conf", "/etc/nginx/nginx.conf", False),
        ("./conf", "/etc/nginx/nginx.conf", False),
        ("./localtime.txt", "/etc/x", False),
        ("./Caddyfile", "/etc/caddy/Caddyfile", False),
        ("../outside", "/x", False),
    ],
)
def test_a_folder_that_compose_would_make_ships_empty_with_a_warning(
    tmp_path: Path, source: str, target: str, *, made: bool
) -> None:
    bind = {"create_host_path": True}
    files, mount = mounted(tmp_path, source, target=target, bind=bind)
    assert (files.found.problems == []) is made
    if not made:
        return
    [warning] = files.found.warnings
    assert warning.what == f"services.web: {source} is neither a file nor a folder"
    assert unpacked(files) == {}
    assert mount["source"].startswith("@files/")
    (tmp_path / source).mkdir(parents=True)  # on a machine that has it, too: the same release everywhere
    assert mounted(tmp_path, source, target=target, bind=bind)[1]["source"] == mount["source"]


@pytest.mark.parametrize("bind", [{}, {"create_host_path": False}])
def test_a_folder_that_compose_would_not_make_is_refused(tmp_path: Path, bind: dict[str, bool]) -> None:
    files, _ = mounted(tmp_path, "./certs", bind=bind)
    assert whats(files.found.problems) == ["services.web: ./certs is neither a file nor a folder"]


# --- data of the host


def repository(folder: Path, *tracked: str) -> Path:
    """A repository with these files."""
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    for argv in (["init", "-q"], ["add", "--force", "--", *tracked]):
        subprocess.run(["git", "-C", str(folder), *argv], check=True)
    return folder


def test_what_git_tracks_of_a_writable_folder_is_its_first_content(tmp_path: Path) -> None:
    repository(tmp_path, "init/a.sql", "init/deep/ö b.sh", "init/.env", "init/key", "other")
    (tmp_path / "init" / "deep" / "ö b.sh").chmod(0o755)
    (tmp_path / "init" / "key").write_text(PRIVATE_KEY)
    (tmp_path / "init" / "untracked").touch()
    (tmp_path / "init" / "link").symlink_to("/etc/hostname")
    files, mount = mounted(tmp_path, "./init", read_only=False)
    assert mount["source"] == "@data/init"
    assert unpacked(files).keys() == {"a.sql", "deep/ö b.sh"}
    [entry] = files.content.values()
    assert (entry["mode"], entry["seeds"]) == (0o755, ["init"])
    assert [warning.meaning for warning in files.found.warnings] == [
        "its 2 file(s) are copied to a host once, while it is missing or empty there"
    ]
    assert files.found.problems == []


def test_a_folder_of_the_repository_outside_of_the_applications_begins_with_its_files(tmp_path: Path) -> None:
    repository(tmp_path, "shared/a")
    (tmp_path / "app").mkdir()
    files, mount = mounted(tmp_path / "app", "../shared", read_only=False, repository=tmp_path)
    assert mount["source"] == "@data/_/shared"
    assert [entry["seeds"] for entry in files.content.values()] == [["_/shared"]]


def test_folders_of_equal_content_and_mounts_of_one_folder_ship_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("same")
    volumes = {"named": {"driver_opts": {"type": "none", "o": "bind", "device": "./b"}}}
    services = {
        "web": {"image": "x", "volumes": ["./a:/a", "./a/:/again"]},
        "job": {"image": "x", "volumes": ["./a:/a", "named:/v"]},
    }
    found = application(tmp_path, json.dumps({"services": services, "volumes": volumes}))
    assert [entry["seeds"] for entry in found.files.values()] == [["a", "b"]]
    assert len([each for each in found.warnings if "mounted writable" in each.what]) == 2


def test_a_writable_folder_too_large_to_ship_is_refused_and_outside_of_git_warned_of(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x" * 1_000_001)
    files, _ = mounted(tmp_path, "./data", read_only=False, repository=None)
    assert files.found.problems == []
    assert whats(files.found.warnings) == [
        "services.web: the folder ./data is mounted writable, and it holds 1,000,001 bytes"
    ]
    assert not any("git" in part for each in files.found.warnings for part in each)
    repository(tmp_path, "README")
    subprocess.run(["git", "-C", str(tmp_path), "add", "data"], check=True)
    files, _ = mounted(tmp_path, "./data", read_only=False)
    assert whats(files.found.problems) == [
        "services.web: the folder ./data is mounted writable, and git tracks 1,000,001 bytes of it"
    ]


@pytest.mark.parametrize(
    ("in_git", "said"),
    [
        (
            True,
            (
                "configuration files of 1,000,100 bytes are mounted from the application's folder, 999,900 of them "
                "from ./big"
            ),
        ),
        (
            False,
            (
                "services.web: the folder ./data is mounted writable, and it holds 200 bytes, with all else that ships "
                "1,000,100"
            ),
        ),
    ],
)
def test_a_small_writable_folder_for_which_others_leave_no_room_is_not_blamed_alone(
    *, in_git: bool, said: str, tmp_path: Path
) -> None:
    repository(tmp_path, "data/x", "big")
    (tmp_path / "data" / "x").write_text("x" * 200)
    (tmp_path / "big").write_text("x" * 999_900)
    files = ShippedFiles(tmp_path, tmp_path if in_git else None, Findings(), "staging")
    files.mount("web", {"type": "bind", "source": "./big", "target": "/b", "read_only": True})
    files.mount("web", {"type": "bind", "source": "./data", "target": "/d"})
    files.finish()
    found = files.found.problems if in_git else files.found.warnings
    assert whats(found) == [said]


@pytest.mark.parametrize("in_git", [True, False])
def test_one_large_folder_is_one_problem_and_blames_no_small_one(*, in_git: bool, tmp_path: Path) -> None:
    repository(tmp_path, "small/x", "big/x", "empty/.env", "full/x")
    for name, size in (("big", 36_000_000), ("small", 10), ("full", 2_000_000)):
        (tmp_path / name / "x").write_bytes(b"x" * size)
    files = ShippedFiles(tmp_path, tmp_path if in_git else None, Findings(), "staging")
    files.mount("web", {"type": "bind", "source": "./big", "target": "/b", "read_only": True})
    for name in ("small", "empty", "missing"):
        files.mount("web", {"type": "bind", "source": f"./{name}", "target": f"/{name}"})
    files.volume("v", {"driver_opts": {"o": "bind", "device": "./small"}})
    files.finish()
    assert whats(files.found.problems) == [
        (
            "configuration files of 36,000,010 bytes are mounted from the application's folder, 36,000,000 of them "
            "from ./big"
        )
    ]
    assert not any("bytes" in each.what for each in files.found.warnings)
    files.mount("web", {"type": "bind", "source": "./full", "target": "/f"})
    alone = files.found.problems[-1] if in_git else files.found.warnings[-1]
    assert alone.what.endswith(" 2,000,000 bytes of it" if in_git else " 2,000,000 bytes")


def test_outside_of_git_nobody_is_told_to_add_a_file_to_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".env").touch()
    [warning] = mounted(tmp_path, "./data", read_only=False, repository=None)[0].found.warnings
    assert (warning.meaning, warning.fix) == (
        "nothing of it may ship; on the host it starts empty", "use a named volume"
    )  # fmt: skip


def test_a_stacks_secret_in_a_writable_folder_does_not_ship(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text(CANARY)
    text = "services: {web: {image: x, volumes: ['./data:/d']}}"
    assert whats(problems_of(tmp_path, text, secrets={"S": CANARY})) == [
        "the value of secret S is in plain text in data/x"
    ]


def test_a_writable_folder_lives_on_the_host_and_its_content_does_not_ship(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text(CANARY)
    files, mount = mounted(tmp_path, "./data", read_only=False)
    assert mount["source"] == "@data/data"
    assert files.content == {}
    assert whats(files.found.warnings) == ["services.web: the folder ./data is mounted writable"]


def test_an_empty_or_missing_writable_folder_needs_no_warning(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert mounted(tmp_path, "./empty", read_only=False)[0].found.warnings == []
    assert mounted(tmp_path, "./missing", read_only=False)[0].found.warnings == []


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("./a", "@data/a"),
        ("a/b/", "@data/a/b"),
        ("./a/./b//c", "@data/a/b/c"),
        ("a/../b", "@data/b"),
        (".", "@data/_here"),
        ("./", "@data/_here"),
        ("..", "@data/_"),
        ("../../a", "@data/_/_/a"),
        ("../a", "@data/_/a"),
    ],
)
def test_data_stays_in_the_stacks_own_folder(source: str, kept: str) -> None:
    assert kept_on_host(source) == kept


@given(st.text(st.sampled_from("./ab$~@"), min_size=1, max_size=12).filter(lambda text: not text.startswith("/")))
def test_no_path_of_data_leads_out_of_it_for_the_agent(source: str) -> None:
    _, data = referenced_paths({"volumes": [{"source": kept_on_host(source)}]})
    assert len(data) == 1


# --- what does not ship


@pytest.mark.parametrize("source", ["/etc/hosts", "/var/run/docker.sock", "/"])
def test_an_absolute_path_is_the_hosts_and_untouched(tmp_path: Path, source: str) -> None:
    for read_only in (True, False):
        files, mount = mounted(tmp_path, source, read_only=read_only)
        assert mount["source"] == source
        assert (files.content, files.found.problems, files.found.warnings) == ({}, [], [])


@pytest.mark.parametrize("kind", ["volume", "tmpfs", "cluster", "npipe"])
def test_only_binds_ship(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_text("x")
    mount = {"type": kind, "source": "a", "target": "/t"}
    assert ShippedFiles(tmp_path, None, Findings(), "staging").mount("web", mount) == mount


@pytest.mark.parametrize("source", ["./.git/config", "./.git", "./link", "./sub/.git/config"])
def test_nothing_of_git_itself_ships(tmp_path: Path, source: str) -> None:
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / ".git").mkdir(parents=True)
        (folder / ".git/config").write_text(f"extraheader = {CANARY}")
        (folder / "app.conf").write_text("x")
    (tmp_path / "link").symlink_to(".git/config")
    files, _ = mounted(tmp_path, source)
    assert [each.what for each in files.found.problems] == [
        f"{source[2:]} lies outside of the application's repository"
    ]
    (tmp_path / "link").unlink()
    assert set(unpacked(mounted(tmp_path, ".")[0])) == {"app.conf", "sub/app.conf"}


@pytest.mark.parametrize("source", ["~/pictures", "~", "~/a b/$$x.conf"])
def test_what_is_in_the_home_stays_there_with_a_warning(tmp_path: Path, source: str) -> None:
    (tmp_path / source).mkdir(parents=True)  # in the application's folder: not meant
    for read_only in (True, False):
        files, mount = mounted(tmp_path, source, read_only=read_only)
        assert files.found.problems == []
        [warning] = files.found.warnings
        assert "the home of the user as whom Slipway connects" in warning.meaning
        assert (mount["source"], files.content) == (source, {})


@pytest.mark.parametrize("source", ["~root/x", "~x", ""])
def test_a_path_in_somebodys_home_is_refused(tmp_path: Path, source: str) -> None:
    for read_only in (True, False):
        files, _ = mounted(tmp_path, source, read_only=read_only)
        assert len(files.found.problems) == 1
        assert files.found.problems[0].meaning == "what that is depends on who runs Slipway"
        assert files.content == {}


def test_files_of_the_repository_outside_of_the_applications_folder_ship(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "shared.conf").write_text("x")
    files, mount = mounted(tmp_path / "deploy", "../shared.conf", repository=tmp_path)
    assert files.found.problems == []
    assert mount["source"].endswith("/shared.conf")


@pytest.mark.parametrize("source", ["../outside", "./link", "./folder", "../folder-outside"])
def test_nothing_outside_of_the_repository_ships(tmp_path: Path, source: str) -> None:
    """A Compose file in a pull request must not fetch the deploying machine's files, by path or by link."""
    repository = tmp_path / "repository"
    (repository / "folder").mkdir(parents=True)
    (tmp_path / "folder-outside").mkdir()
    (tmp_path / "folder-outside" / "x").write_text(CANARY)
    (tmp_path / "outside").write_text(CANARY)
    (repository / "link").symlink_to(tmp_path / "outside")
    (repository / "folder" / "deep").symlink_to(tmp_path / "outside")
    files, _ = mounted(repository, source)
    assert len(files.found.problems) == 1
    assert "lies outside of the application's repository" in files.found.problems[0].what
    assert files.content == {}
    assert CANARY not in str(files.found.problems)


def test_a_link_inside_of_the_repository_ships_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "real").write_text("x")
    (tmp_path / "conf" / "link").symlink_to("../real")
    assert unpacked(mounted(tmp_path, "./conf")[0]) == {"link": b"x"}


def test_a_link_to_a_folder_is_refused_and_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "circle").symlink_to(".")
    (tmp_path / "conf" / "loop").symlink_to("loop")
    files, _ = mounted(tmp_path, "./conf")
    assert whats(files.found.problems) == [
        "conf/circle is a link to a folder", "conf/loop is a link to loop, which does not exist"
    ]  # fmt: skip


@pytest.mark.parametrize("there", ["file", "folder", "nothing"])
@pytest.mark.parametrize("place", ["./conf", "./conf/deep", "./conf/link"])
@pytest.mark.parametrize(
    ("leads", "verdict"),
    [
        ("{outside}/target", "lies outside of the application's repository"),
        ("{up}../../outside/target", "lies outside of the application's repository"),
        ("{inside}/target", "is a link to the absolute path"),
        ("{up}again", "is a link to the absolute path"),
    ],
)
def test_a_link_that_leads_out_is_refused_whatever_the_deploying_machine_has_there(
    tmp_path: Path, there: str, place: str, leads: str, verdict: str
) -> None:
    inside, outside = tmp_path / "repository", tmp_path / "outside"
    up = "../" if place == "./conf/deep" else ""
    (inside / "conf" / "deep").mkdir(parents=True)
    outside.mkdir()
    for folder in (inside, outside):
        if there == "file":
            (folder / "target").write_text(CANARY)
        elif there == "folder":
            (folder / "target").mkdir()
    (inside / "conf" / "again").symlink_to(inside / "target")
    link = inside / "conf" / ("deep/link" if up else "link")
    link.symlink_to(leads.format(inside=inside, outside=outside, up=up))
    if verdict.startswith("lies"):
        (inside / "conf" / "again").unlink()
    files, _ = mounted(inside, place)
    assert files.found.problems
    assert all(verdict in problem.what for problem in files.found.problems)
    assert CANARY not in str(files.found.problems) + str(
        [base64.b64decode(each["content"]) for each in files.content.values()]
    )


def test_the_command_for_an_absolute_link_makes_it_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "real one").write_text("x")
    (tmp_path / "conf" / "link").symlink_to(tmp_path / "real one")
    monkeypatch.chdir(tmp_path)
    [problem] = mounted(tmp_path, "./conf")[0].found.problems
    subprocess.run(shlex.split(problem.fix), check=True)
    assert unpacked(mounted(tmp_path, "./conf")[0]) == {"link": b"x"}


def test_a_link_to_what_is_missing_in_the_repository_is_refused_and_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "link").symlink_to("generated.conf")
    [problem] = mounted(tmp_path, "./conf")[0].found.problems
    assert problem.what == "conf/link is a link to generated.conf, which does not exist"
    (tmp_path / "conf" / "generated.conf").write_text("x")
    assert mounted(tmp_path, "./conf")[0].found.problems == []


@pytest.mark.parametrize("name", [".env", ".env.production", "server.key"])
def test_secrets_do_not_ship_as_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / name).write_text(PRIVATE_KEY if name == "server.key" else f"A={CANARY}")
    for source in ("./conf", f"./conf/{name}"):
        files, _ = mounted(tmp_path, source)
        [problem] = files.found.problems
        assert problem.what.startswith(f"conf/{name} ")
        assert "pulumi config set --secret" in problem.fix
        assert files.content == {}
        assert CANARY not in str(problem)


def test_examples_certificates_and_public_keys_ship(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for name, content in ((".env.example", "A="), ("tls.crt", "-----BEGIN CERTIFICATE-----"), ("id.pub", "ssh-rsa x")):
        (tmp_path / "conf" / name).write_text(content)
    files, _ = mounted(tmp_path, "./conf")
    assert files.found.problems == []
    assert len(unpacked(files)) == 3


def test_one_problem_of_a_file_is_told_once_however_often_it_is_mounted(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("x")
    files = ShippedFiles(tmp_path, None, Findings(), "staging")
    for service in ("a", "b"):
        files.mount(service, {"type": "bind", "source": ".env", "target": "/t", "read_only": True})
    assert len(files.found.problems) == 1


# --- size


def test_more_than_a_megabyte_does_not_ship_and_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(50_000_000_000)
    files, _ = mounted(tmp_path, "./huge")
    assert whats(files.found.problems) == [
        (
            "configuration files of 50,000,000,000 bytes are mounted from the application's folder, 50,000,000,000 "
            "of them from ./huge"
        )
    ]


def test_all_files_together_count_and_one_file_counts_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(600_000))
    files = ShippedFiles(tmp_path, None, Findings(), "staging")
    for service in ("x", "y"):
        files.mount(service, {"type": "bind", "source": "a", "target": "/t", "read_only": True})
    files.finish()
    assert files.found.problems == []
    files.mount("z", {"type": "bind", "source": "b", "target": "/t", "read_only": True})
    files.finish()
    assert len(files.found.problems) == 1


# --- through the whole way


def test_the_agent_takes_what_ships(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a").write_text("x")
    (tmp_path / "f$x").write_text("y")
    (tmp_path / "more").mkdir()
    found = application(
        tmp_path,
        "services: {web: {image: x, volumes: ['./conf:/c:ro', './f$$x:/f:ro', './data:/d', './more:/e:ro']}}",
    )
    files, data = referenced_paths(found.document)
    assert {sha for sha, _ in files} == set(found.files)
    assert data == ("data",)
    for sha, entry in found.files.items():
        assert hashlib.sha256(base64.b64decode(entry["content"])).hexdigest() == sha


def test_a_special_file_is_a_problem_and_no_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert whats(problems_of(tmp_path, "services: {web: {image: x, volumes: ['./pipe:/p:ro']}}")) == [
        "services.web: ./pipe is neither a file nor a folder"
    ]


@pytest.mark.parametrize(
    ("path", "private"),
    [("certs/tls.key", True), ("certs/key-no-password.pem", True), (".DB_KEY_FILE", True), ("ssh/id_ed25519", True),
     ("store.p12", True), ("prod.env/.env", True), ("certs/public-key.pem", False), ("certs/cert.pem", False),
     ("monkey.conf", False), ("id_ed25519.pub", False)],
)  # fmt: skip
def test_what_is_missing_and_private_by_its_name_becomes_a_secret_before_it_is_in_git(
    tmp_path: Path, path: str, *, private: bool
) -> None:
    mount = (
        f"services: {{web: {{image: x, volumes: [{{type: bind, source: './{path}', target: /k, read_only: true}}]}}}}"
    )
    config = f"services: {{web: {{image: x, configs: [k]}}}}\nconfigs: {{k: {{file: './{path}'}}}}"
    for text in (mount, config):
        [problem] = problems_of(tmp_path, text)
        assert ("`secrets: [" in problem.meaning) is private
        assert (f"--stack test < {os.path.relpath(tmp_path / path)}" in problem.fix) is private
        assert ("Git" in problem.fix or problem.fix.startswith("create ./")) is not private


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("private_key.key", "PRIVATE_KEY_KEY"),
        (".env", "ENV"),
        ("1.pem", "FILE_1_PEM"),
        ("ключ", "FILE"),
        (".env.local", "ENV_LOCAL"),
    ],
)
def test_the_way_out_for_a_private_file_deploys_it_at_its_place(tmp_path: Path, name: str, secret: str) -> None:
    (tmp_path / name).write_text(PRIVATE_KEY)
    [problem] = problems_of(tmp_path, f"services: {{web: {{image: x, volumes: ['./{name}:/etc/k:ro']}}}}")
    top, mounted_by = re.findall("`(.*?)`", problem.meaning)
    assert f"secrets.{secret}' --stack test <" in problem.fix
    text = f"services: {{web: {{image: x, {mounted_by.replace('ITS-PATH', '/etc/k')}}}}}\nsecrets: {{{top}}}\n"
    found = application(tmp_path, text, secrets={secret: "the key itself"})
    assert found.secrets == (secret,)
    assert found.document["services"]["web"]["secrets"] == [{"source": secret.lower(), "target": "/etc/k"}]


@pytest.mark.parametrize(
    ("config", "stated"),
    [
        ({"file": "./m.conf"}, {}),
        ({"file": "./m.conf"}, {"mode": "0444"}),
        ({"file": "./m.conf"}, {"mode": "0644"}),
        ({"file": "./run.sh"}, {"mode": "0755"}),
        ({"content": "x"}, {"uid": "33", "gid": "33", "mode": "0400"}),
        ({"file": "./m.conf"}, {"mode": "0400"}),
        ({"file": "./m.conf"}, {"mode": "0755"}),
        ({"file": "./m.conf"}, {"uid": "33", "gid": "33", "mode": "0440"}),
        ({"file": "./m.conf"}, {"gid": "33"}),
    ],
)
def test_an_owner_or_mode_that_a_config_does_not_get_is_said(
    tmp_path: Path, config: dict[str, str], stated: dict[str, str]
) -> None:
    (tmp_path / "m.conf").write_text("x")
    (tmp_path / "run.sh").write_text("x")
    (tmp_path / "run.sh").chmod(0o755)
    entry = ", ".join(f"{key}: {value if key == 'mode' else json.dumps(value)}" for key, value in stated.items())
    text = f"""
        services: {{web: {{image: x, configs: [{{source: m, target: /m, {entry}}}]}}}}
        configs: {{m: {json.dumps(config)}}}
        """
    kept = config.get("file") != "./m.conf" or stated in ({}, {"mode": "0444"}, {"mode": "0644"})
    said = [] if kept else [f"services.web.configs: {', '.join(stated)} of m has no effect"]
    assert [each for each in whats(list(application(tmp_path, text).warnings)) if "effect" in each] == said
