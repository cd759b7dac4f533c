import os
import stat
from pathlib import Path

import pytest
import zmq

from inspection.errors import SettingsError
from inspection.keys import Listed, list_keys, new_key, own_key, public_key, revoke_key
from loomwatch.cli import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_new_key_is_two_files_for_their_owner_alone_whose_halves_belong_together(folder: Path) -> None:
    before = os.umask(0)
    try:
        paths = new_key(folder, "gpu-1", "worker")
    finally:
        os.umask(before)
    assert [path.name for path in paths] == ["gpu-1.worker.secret", "gpu-1.worker.public"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (*paths, folder)] == [0o600, 0o600, 0o700]
    public, secret = own_key(folder, "gpu-1", "worker")
    assert zmq.curve_public(secret) == public == public_key(folder, "gpu-1", "worker")
    assert secret not in paths[1].read_bytes()


def test_a_name_is_never_given_twice_not_even_after_it_was_revoked(folder: Path) -> None:
    new_key(folder, "gpu-1", "worker")
    new_key(folder, "gpu-1", "ingest")
    with pytest.raises(SettingsError, match="is there already"):
        new_key(folder, "gpu-1", "worker")
    revoke_key(folder, "gpu-1")
    for path in folder.glob("*.secret"):
        path.unlink()
    with pytest.raises(SettingsError, match="is there already"):
        new_key(folder, "gpu-1", "worker")


@pytest.mark.parametrize("name", ["", "../up", "a b", "a.worker", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="a key's name is"):
        new_key(folder, name, "worker")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
@pytest.mark.parametrize("end", ["secret", "public"])
def test_a_file_that_others_may_use_is_refused(folder: Path, mode: int, end: str) -> None:
    new_key(folder, "gpu-1", "worker")
    (folder / f"gpu-1.worker.{end}").chmod(mode)
    with pytest.raises(SettingsError, match=f"has mode {mode:04o}.*chmod 600"):
        own_key(folder, "gpu-1", "worker") if end == "secret" else Listed(folder, "worker")


def test_a_folder_that_others_may_write_is_refused(folder: Path) -> None:
    new_key(folder, "gpu-1", "worker")
    folder.chmod(0o770)
    for act in (
        lambda: own_key(folder, "gpu-1", "worker"),
        lambda: Listed(folder, "worker"),
        lambda: list_keys(folder),
    ):
        with pytest.raises(SettingsError, match=r"others may add keys.*chmod 700"):
            act()


@pytest.mark.parametrize(
    "text", ["", "not a key", 'curve\n    public-key = "short"\n', "public-key\n", 'curve\n    secret-key = "x"\n']
)
def test_a_damaged_file_is_one_clear_error(folder: Path, text: str) -> None:
    new_key(folder, "gpu-1", "worker")
    (folder / "gpu-1.worker.secret").write_text(text)
    with pytest.raises(SettingsError, match=r"gpu-1\.worker\.secret is no key file") as error:
        own_key(folder, "gpu-1", "worker")
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_one_clear_error(folder: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be used: No such file"):
        list_keys(folder)
    new_key(folder, "gpu-1", "worker")
    with pytest.raises(SettingsError, match=r"no key file .*ingest\.ingest\.public.*loomwatch keys new"):
        public_key(folder, "ingest", "ingest")
    (folder / "gpu-1.worker.secret").write_bytes((folder / "gpu-1.worker.public").read_bytes())
    with pytest.raises(SettingsError, match="holds no secret key"):
        own_key(folder, "gpu-1", "worker")


def test_the_list_follows_the_folder_and_holds_one_role_only(folder: Path) -> None:
    new_key(folder, "camera-host", "ingest")
    listed = Listed(folder, "worker")
    assert dict(listed.names()) == {}
    for name in ("gpu-1", "gpu-2"):
        new_key(folder, name, "worker")
    assert sorted(listed.names().values()) == ["gpu-1", "gpu-2"]
    revoke_key(folder, "gpu-1")
    assert list(listed.names().values()) == ["gpu-2"]
    (folder / "gpu-2.worker.public").chmod(0o644)
    assert dict(listed.names()) == {}
    (folder / "gpu-2.worker.public").chmod(0o600)
    assert list(listed.names().values()) == ["gpu-2"]
    folder.chmod(0o777)
    assert dict(listed.names()) == {}


def test_the_commands_make_list_and_revoke(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--keys-dir", str(folder)]
    assert run(["keys", "new", "gpu-1", *place]) == 0
    assert run(["keys", "new", "cameras", "--role", "ingest", *place]) == 0
    assert run(["keys", "revoke", "gpu-1", *place]) == 0
    capsys.readouterr()
    assert run(["keys", "list", *place]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("cameras", "ingest", "listed"),
        ("gpu-1", "worker", "revoked"),
    ]
    assert [(key.name, key.state, key.secret) for key in list_keys(folder)] == [
        ("cameras", "listed", True),
        ("gpu-1", "revoked", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["revoke", "nobody"], "no key nobody is listed"),
        (["new", "a", "--role", "boss"], "a role is worker or ingest"),
        (["list"], "no such"),
    ],
)
def test_a_wrong_command_is_one_line_and_code_2(
    folder: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] != "list":
        new_key(folder, "gpu-1", "worker")
    assert run(["keys", *arguments, "--keys-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    assert says.lower() in error.lower()
    assert len(error.strip().splitlines()) == 1
