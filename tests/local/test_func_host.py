import shutil
import sys
from pathlib import Path

import pytest

from local.child_process import NotReady
from local.host.func_host import FuncHost, FuncMissing


@pytest.fixture
def fake_func(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `func` that tells what it was started with, as far as the real one's output matters to us."""
    func = tmp_path / "func"
    func.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "print('arguments', sys.argv[1:], os.environ['ENTRA_AUDIENCE'], os.getcwd(), flush=True)\n"
        "if os.environ['ENTRA_AUDIENCE'] == 'broken': sys.exit('no functions found')\n"
        "print('Worker process started and initialized.', flush=True)\n"
        "time.sleep(60)\n"
    )
    func.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_without_core_tools_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(FuncMissing, match="HOST=func"):
        FuncHost(app=tmp_path, settings={}, port=7071).start()


def test_it_is_started_in_the_app_with_its_settings_and_stopped(fake_func: Path) -> None:
    assert shutil.which("func") == str(fake_func / "func")
    with FuncHost(app=fake_func, settings={"ENTRA_AUDIENCE": "ours"}, port=7123) as host:
        told = host.output()

    assert host.url == "http://127.0.0.1:7123"
    assert f"arguments ['start', '--port', '7123'] ours {fake_func}" in told
    assert host.output() == ""


def test_an_app_that_it_refuses_is_reported_with_its_words(fake_func: Path) -> None:
    with pytest.raises(NotReady, match="no functions found"):
        FuncHost(app=fake_func, settings={"ENTRA_AUDIENCE": "broken"}, port=7123).start()
