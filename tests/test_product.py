"""Law 9: what is shipped works as shipped."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from isobyte.cli.main import COMMANDS
from isobyte.config.recipes import load_recipe, recipe_kind, shipped
from isobyte.config.study import StudyConfig
from isobyte.cost.design import run_cost
from isobyte.study.execute import whole_plan

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("recipe", shipped())
def test_every_recipe_validates_and_dry_runs(recipe: str) -> None:
    config = load_recipe(recipe, recipe_kind(recipe))
    if isinstance(config, StudyConfig):
        runs = whole_plan(config, {})
        assert {run.cell.design for run in runs} == {design.name for design in config.designs}
        assert all(0.9 * run.cell.budget < run.flops <= run.cell.budget for run in runs)
    else:
        assert run_cost(config).per_step > 0


def test_the_wheel_holds_and_imports_every_module(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    source = ROOT / "src" / "isobyte"
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (site / "isobyte" / path.relative_to(source)).exists(), path
    modules = sorted(".".join(p.relative_to(site).with_suffix("").parts) for p in site.glob("isobyte/**/*.py"))
    names = [module.removesuffix(".__init__") for module in modules]
    script = f"import sys; sys.path.insert(0, {str(site)!r})\nimport importlib\n"
    script += f"for name in {names!r}:\n    module = importlib.import_module(name)\n"
    script += f"    assert module.__file__.startswith({str(site)!r}), module.__file__\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_source_file_is_over_400_lines() -> None:
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 400, path


def test_readme_names_real_commands_and_recipes() -> None:
    readme = (ROOT / "README.md").read_text()
    for line in re.findall(r"^isobyte (.+)$", readme, re.MULTILINE):
        words = line.split()
        assert " ".join(words[:2]) in COMMANDS or words[0] in COMMANDS, line
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"`?make ([a-z-]+)", readme):
        assert target in targets
    for command in COMMANDS:
        assert f"isobyte {command}" in readme, f"the README does not show `isobyte {command}`"


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_constraints_pin_every_dependency() -> None:
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        assert re.split(r"[\[<>=]", requirement)[0].lower() in pinned, requirement


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of a machine, no address of a package registry."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/[A-Za-z.]|files\.pythonhosted|registry\.npmjs|pypi\.org")
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".html", ".js", ".css", ""} and path.is_file():
            found = pattern.search(path.read_text(errors="ignore"))
            assert found is None or name == "tests/test_product.py", f"{name}: {found and found[0]}"
