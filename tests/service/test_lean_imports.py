"""Modules that must start fast import little; each is tested in a separate process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_importing_the_client_loads_no_model_runtime(root: Path) -> None:
    unwanted = "{'tensorflow', 'keras', 'ai_edge_litert', 'PIL', 'google.cloud.storage'}"
    code = f"import sys, model.artifact.load, model.artifact.fetch; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_help_imports_no_heavy_library(root: Path) -> None:
    code = (
        "import sys\nfrom client.__main__ import main\nfrom client.cli.program import COMMANDS\n"
        "own = [name for name, (module, _) in COMMANDS.items() if module != 'client.cli.delegate']\n"
        "for words in [['--help'], *([name, '--help'] for name in own)]:\n"
        "    assert main(words) == 0, words\n"
        "heavy = {'google.cloud.pubsub_v1', 'google.cloud.storage', 'rich', 'requests', 'numpy', 'PIL', 'yaml'}\n"
        "heavy |= {'client.transport.topic', 'client.results.output', 'client.doctor.runner', 'client.plan.planner'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout


def test_the_python_api_is_imported_when_it_is_used(root: Path) -> None:
    code = (
        "import sys, client\n"
        "assert not [name for name in sys.modules if name.startswith(('client.', 'model', 'functions'))]\n"
        "from client import AsyncPredictions, Predictions\n"
        "Predictions('p')\n"
        "heavy = {'google.cloud.pubsub_v1', 'google.cloud.storage', 'requests', 'numpy', 'pandas', 'client.cli'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_push_worker_starts_without_what_its_first_response_does_not_need(root: Path) -> None:
    unused = "{'cryptography', 'flask', 'google.cloud.storage', 'gunicorn', 'jwt', 'werkzeug'}"
    code = f"import sys, functions.entrypoints.server; print(sorted({unused} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_the_twin_starts_without_what_only_some_of_its_options_need(root: Path) -> None:
    unused = "{'functions.kafka.connection', 'google.cloud.storage', 'model.registry.registry', 'numpy', 'uvicorn'}"
    modules = "infra.local.__main__, infra.local.admin, infra.local.pubsub.server, infra.local.storage.server"
    code = f"import sys, {modules}; print(sorted({unused} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["functions.main", "functions.entrypoints.pull_worker", "functions.entrypoints.server"]
)
def test_a_worker_without_spans_imports_no_opentelemetry(root: Path, module: str) -> None:
    heavy = "('opentelemetry.sdk', 'http.server')"
    code = f"import sys, {module}, google.cloud.pubsub_v1; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    wanted = "['http.server']" if module == "functions.main" else "[]"  # werkzeug's, since ever
    assert done.stdout.strip() == wanted


def test_no_command_imports_tensorflow(root: Path) -> None:
    code = (
        "import sys\nfrom contextlib import suppress\nfrom client.__main__ import main\n"
        "with suppress(SystemExit):\n    main(['model', '--help'])\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, stdout=subprocess.DEVNULL).returncode == 0


def test_the_commands_of_a_registry_in_a_folder_import_no_library_of_google(root: Path, tmp_path: Path) -> None:
    artifact, registry = "model/artifacts/fashion-mnist", ["--registry", str(tmp_path / "registry")]
    code = (
        "import sys\nfrom model.__main__ import main\n"
        f"for words in (['push', {artifact!r}], ['list'], ['show', 'fashion-mnist@2.0.0'], ['gc', 'fashion-mnist']):\n"
        f"    assert main([*words, *{registry!r}]) == 0, words\n"
        "heavy = {'tensorflow', 'keras', 'ai_edge_litert', 'google.cloud.storage', 'requests'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_collecting_the_quick_tests_imports_no_training_library(root: Path) -> None:
    """Each process of `make test` imports all of their files: TensorFlow would take four seconds in each."""
    code = (
        "import sys, pytest\n"
        "assert pytest.main(['--collect-only', '-q', 'tests/unit', 'tests/service']) == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
