"""The wheel, in a virtual environment of its own: what it ships, and that it works without the checkout."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRIAL = """
import importlib.util
import gymnasium as gym
import curation_gym
from curation_gym.networks import ItemPolicy
from curation_gym.scenario import load_scenario, scenario_names

assert "site-packages" in curation_gym.__file__, curation_gym.__file__
for name in ("agents", "baselines", "experiments", "tests"):
    assert importlib.util.find_spec(name) is None, name
for name in scenario_names():
    load_scenario(name)
env = gym.make("CurationGym/CoverageSelection-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
print(curation_gym.__version__, len(scenario_names()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    # No isolation: the build backend is a development dependency, so that the test needs no network.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(out.glob("*.whl"))


def test_it_ships_the_library_and_the_scenarios_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"curation_gym", wheel.name.split("-py3")[0] + ".dist-info"}
    assert "curation_gym/py.typed" in names
    shipped = {Path(name).name for name in names if name.startswith("curation_gym/envs_configs/")}
    assert shipped == {path.name for path in (ROOT / "envs_configs").glob("*.yaml")}


def test_it_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True, capture_output=True)
    # The dependencies are lent by the environment that runs the tests; the library itself isn't.
    site = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    (Path(site.strip()) / "lent.pth").write_text(sysconfig.get_path("purelib"))
    done = subprocess.run([python, "-c", TRIAL], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.1.0", str(len(list((ROOT / "envs_configs").glob("*.yaml"))))]
