"""Curation Gym: Gymnasium environments and tools for learned data curation."""

from importlib.metadata import version

import gymnasium as gym

from curation_gym.policy import Policy, make_policy
from curation_gym.pools import Pool, build_pool
from curation_gym.task import Column, Task

__version__ = version("curation-gym")
__all__ = ["ENVIRONMENTS", "Column", "Policy", "Pool", "Task", "build_pool", "make_policy"]

ENVIRONMENTS = {
    "CurationGym/ScoreSelection-v0": "curation_gym.envs.score_selection:ScoreSelection",
    "CurationGym/CoverageSelection-v0": "curation_gym.envs.coverage_selection:CoverageSelection",
    "CurationGym/BiasedSelection-v0": "curation_gym.envs.biased_selection:BiasedSelection",
    "CurationGym/LanguageModelSelection-v0": "curation_gym.envs.language_model_selection:LanguageModelSelection",
    "CurationGym/RottingArms-v0": "curation_gym.envs.rotting_arms:RottingArms",
    "CurationGym/AnnotationAllocation-v0": "curation_gym.envs.annotation_allocation:AnnotationAllocation",
}
"""Environment id → the stem of its classes; ``…Env`` is the scalar environment, ``…VectorEnv`` the batched core."""

for env_id, stem in ENVIRONMENTS.items():
    gym.register(id=env_id, entry_point=f"{stem}Env", vector_entry_point=f"{stem}VectorEnv")
