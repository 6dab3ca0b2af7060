"""AnnotationAllocation-v0: a budget of labels, spent arm by arm on a real pool while a learner retrains."""

import copy
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from curation_gym.config import validated
from curation_gym.envs.allocation import ArmLedger, arm_columns
from curation_gym.envs.annotation_setting import ENV_ID, AnnotationAllocationConfig, lay_out
from curation_gym.envs.base import Arrays, CurationEnv, CurationVectorEnv, Rows, StepResult
from curation_gym.envs.campaign import AnnotationInfo, Campaign
from curation_gym.envs.render import render_arms
from curation_gym.pools.build import build_pool
from curation_gym.pools.features import columns_after, columns_before
from curation_gym.signals.uncertainty import MEASURES, bound
from curation_gym.task import Column, Task


class AnnotationAllocationVectorEnv(CurationVectorEnv):
    """Batched core of :class:`AnnotationAllocationEnv`; a loop over rows, since a learner trains in each."""

    env_id = ENV_ID
    config_model: ClassVar[type[AnnotationAllocationConfig]] = AnnotationAllocationConfig
    info_type: ClassVar[type] = AnnotationInfo

    def _setup(self, config: dict[str, Any]) -> Task:
        self.config = cfg = validated(AnnotationAllocationConfig, config, ENV_ID)
        pool = build_pool(cfg.pool)
        self.setting, names = lay_out(pool, cfg)
        n_arms, classes = len(names), self.setting.classes
        high = sum(cfg.reward.in_order())
        low = -cfg.reward.validation_gain - cfg.reward.uncertainty_reduction
        self._columns = arm_columns(cfg.horizon, cfg.budget, low, high)
        bounds = {name: bound(name, cfg.members, classes) for name in MEASURES}
        before, after = columns_before(pool), columns_after(pool)
        criteria = cfg.criteria if len(cfg.criteria) > 1 else ()
        blocks = (
            before,
            tuple(Column(name, value) for name, value in bounds.items()),
            self._columns,
            (*after, *(Column(f"criterion={name}") for name in criteria)),
        )
        self._ends = np.cumsum([len(block) for block in blocks])
        self._criterion = np.array([[c == name for name in criteria] for c in self.setting.criterion], np.float32)
        self._size = self.setting.covers @ np.bincount(self.setting.group)
        self._campaigns: list[Campaign | None] = [None] * self.num_envs
        self._ledger = ArmLedger(self.num_envs, n_arms, cfg.horizon)
        self._step = np.zeros(self.num_envs, np.int64)
        self._total = np.zeros(self.num_envs)
        item = tuple(column for block in blocks for column in block)
        (last_reward,) = (column for column in self._columns if column.name == "last_reward")
        return Task(
            env_id=ENV_ID,
            family="allocation",
            item=item,
            context=(
                Column("budget_left", cfg.budget),
                Column("steps_left", cfg.horizon),
                Column("labelled_fraction"),
                Column("mean_entropy", bounds["ensemble_entropy"]),
                Column("mean_disagreement", bounds["disagreement"]),
                replace(last_reward, name="pull_reward"),
            ),
            dynamic=(0, len(item)),
            n_items=n_arms,
            horizon=cfg.horizon,
            budget=cfg.budget,
            budget_unit="labels",
            pool_fingerprint=pool.fingerprint,
            arms=names,
            action_space=spaces.Discrete(n_arms) if cfg.action == "hard" else spaces.Box(0, 1, (n_arms,), np.float32),
        )

    def _begin(self, rows: Rows) -> Arrays:
        infos = []
        for row in rows:
            campaign = Campaign(self.setting, int(self._generator(int(row)).integers(2**63)))
            self._campaigns[row] = campaign
            flags = int((campaign.answers < 0).sum())
            infos.append(
                AnnotationInfo(labels_spent=campaign.spent, flags=flags, test_accuracy=campaign.test_accuracy())
            )
        self._step[rows] = 0
        self._total[rows] = 0
        self._ledger.clear(rows)
        return _stacked(infos)

    def _advance(self, rows: Rows, actions: NDArray[Any]) -> StepResult:
        infos, terminated = [], np.zeros(len(rows), np.bool_)
        for i, row in enumerate(rows):
            campaign = self._campaigns[row]
            assert campaign is not None
            info, arms, rewards, flagged = campaign.pull(self._weights(actions[i]))
            owners, label, labels = np.unique(arms, return_inverse=True, return_counts=True)
            means = np.bincount(label, rewards, len(owners)) / labels
            flags = np.bincount(label, flagged, len(owners)).astype(np.int64)
            where = np.full(len(owners), row)
            self._ledger.record(where, owners, means, self._step[where], labels, flags)
            self._step[row] += 1
            terminated[i] = campaign.done or self._step[row] == self.config.horizon
            due = terminated[i] or self._step[row] % self.config.evaluate_every == 0
            info["test_accuracy"] = campaign.test_accuracy() if due else np.nan
            infos.append(info)
        told = _stacked(infos)
        self._total[rows] += told["raw_reward"]
        return told["raw_reward"].copy(), terminated, told

    def _weights(self, action: NDArray[Any]) -> NDArray[Any]:
        return action if self.config.action == "soft" else np.arange(self.task.n_items) == action

    def _left(self) -> NDArray[np.int64]:
        """(num_envs, n_arms), samples left; 0 in rows that were never reset."""
        none = np.zeros(self.task.n_items, np.int64)
        return np.stack([none if campaign is None else campaign.samples_left() for campaign in self._campaigns])

    def _mask(self) -> NDArray[np.int8]:
        return (self._left() > 0).astype(np.int8)

    def _observe(self, out: Arrays) -> None:
        cfg, task = self.config, self.task
        before, measures, state, _ = self._ends
        for row, campaign in enumerate(self._campaigns):
            item = out["item"][row]
            if campaign is None:
                item[:], out["context"][row] = 0, 0
                continue
            static, item[:, before:measures] = campaign.arm_means()
            item[:, :before], metadata = static[:, :before], static[:, before:]
            item[:, state:] = np.hstack([metadata, self._criterion])
            out["context"][row, 0] = max(cfg.budget - campaign.spent, 0) / cfg.budget
            out["context"][row, 2:5] = campaign.learner_state()
            out["context"][row, 5] = campaign.last_reward / task.context[5].bound
        left = self._left()
        self._ledger.write(out["item"][..., measures:state], self._columns, self._step, left / self._size)
        out["context"][:, 1] = 1 - self._step / cfg.horizon
        out["mask"][:] = left > 0
        space = self.single_observation_space["item"]  # type: ignore[index]
        # Means of what is in bounds are in bounds too, but for rounding.
        np.clip(out["item"], space.low, space.high, out=out["item"])

    def _frame(self, row: int) -> str | NDArray[np.uint8]:
        return render_arms(self, row, self._ledger, int(self._step[row]), float(self._total[row]))

    # ----------------------------------------------------------------- truth
    def lookahead(self, row: int, action: NDArray[Any]) -> float:
        """Test accuracy of a row's learner if ``action`` came next; nothing changes.

        Hidden truth, for references that were bound to this core; never part of an observation or a reward.
        """
        campaign = copy.deepcopy(self._campaigns[row])
        if campaign is None:
            raise gym.error.ResetNeeded(f"{ENV_ID}: call reset before lookahead")
        if not campaign.done:
            campaign.pull(self._weights(action))
        return campaign.test_accuracy()


def _stacked(infos: list[AnnotationInfo]) -> Arrays:
    records: list[dict[str, Any]] = [dict(info) for info in infos]
    return {key: np.array([record[key] for record in records]) for key in records[0]}


class AnnotationAllocationEnv(CurationEnv):
    """Which samples to label next, when labels cost money and the model that learns from them is at hand.

    ## Description
    The candidates are the train split of a real pool, their labels hidden. An arm is a part of them and a
    criterion. A pull spends up to ``batch`` labels on the arm's samples that the criterion ranks highest; a
    simulated annotator answers, or flags a sample that is out of scope, which costs a label too; a linear
    softmax ensemble is retrained on all answers; every criterion is computed anew. The criteria are
    ``random`` (an order drawn at reset) and those of :mod:`curation_gym.signals.uncertainty`: entropy (of
    member 0, the single model), ensemble_entropy, member_entropy, disagreement, pairwise_kl, variance,
    variation_ratio, margin, least_confidence.
    With ``diverse``, the pull picks greedily among the 5 · batch highest scores by score × distance to the
    nearest one picked. The task is that of pool-based active learning (Lewis and Gale, SIGIR 1994) with the
    choice of criterion left to a bandit (Baram, El-Yaniv and Luz, JMLR 2004; Hsu and Lin, AAAI 2015).

    ## Action space
    ``action="hard"``: ``Discrete(n_arms)``, the arm of this pull. ``action="soft"``: ``Box(0, 1,
    (n_arms,))``, a weight per arm; a sample's score is Σ over its arms of weight × criterion / bound, and
    only samples of an arm with a weight above 0 are taken. A hard pull of an exhausted arm, and weights that
    leave no sample (all 0), use a pull, pay 0, cost no label and set ``info["invalid"]``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_arms, …) | embedding: centroid of what is left of the arm; signals: their means |
    | | means over what is left, divided by their bounds, of entropy, ensemble_entropy, member_entropy, |
    | | disagreement, pairwise_kl, variance, variation_ratio, margin, least_confidence |
    | | pulls, labels_spent, flags, mean_reward, last_reward, steps_since_pull, samples_left (fraction) |
    | | domain=NAME: share of what is left, when the pool has several; log_length: mean, when it has it |
    | | criterion=NAME: 1 for the arm's own, when there are several |
    | context (6,) | budget_left, steps_left, labelled_fraction |
    | | mean_entropy (ensemble_entropy) and mean_disagreement of all that is left; pull_reward, the last |
    | mask (n_arms,) | 1 while the arm has a sample left |

    Columns of an exhausted arm that are means are 0. Divide-by bounds are in ``env.task``. Arms are named
    ``all/CRITERION`` or ``DOMAIN/CRITERION``; the initial and the validation labels belong to none.

    ## Rewards
    Σ over the four parts of weight × part, by ``reward``; a pull's reward lies in [−w_gain − w_reduction, Σ
    w], and dividing by the bound in ``env.task`` puts it in [−1, 1] for UCB.
    | part | formula | range |
    |---|---|---|
    | validation_gain | increase of (1/V) Σ_v p̄(y_v given x_v) over V bought validation answers | [−1, 1] |
    | uncertainty_reduction | decrease of the mean of H(p̄) / ln K over what is left after the pull | [−1, 1] |
    | novelty | mean of 1 − max(0, largest cosine to a sample asked about before the pull) | [0, 1] |
    | feedback | share of the pull that was answered rather than flagged | [0, 1] |

    The probability of the validation answers is smoother than accuracy, which moves in steps of 1/V.
    A soft pull credits novelty and feedback to the arm of each label, gain and reduction to all its labels
    alike; a label's arm is the one that contributed most to its score.

    ``info``: ``raw_reward`` (the same number), the four parts (0 for a gain without validation labels),
    ``labels_spent`` (so far), ``flags`` (in this pull), ``test_accuracy`` (of the ensemble's mean on the test
    split; NaN between evaluations; for evaluation only, part of no observation and no reward), ``invalid``. A
    reset has ``labels_spent``, ``flags`` and ``test_accuracy``.

    ## Starting state
    ``n_initial`` candidates, drawn uniformly, were asked about, as were ``n_validation`` samples of the
    validation split. Everything random in an episode is drawn at reset and independently of the arms: under
    one seed, policies on different arms meet the same first labels, answers, bootstrap weights and random
    order.

    ## Episode end
    Terminated when the budget is spent (the last pull may be smaller), when ``horizon`` =
    ⌈(budget − n_initial − n_validation) / batch⌉ pulls were used, of which one on an arm that runs short
    spends fewer labels, or when no sample is left. Never truncated.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | pool | builder: digits | a Pool, a path, or a builder's options; with hidden label and class names |
    | arms | criteria | criteria: whole pool × each; domains: each × the one criterion; domains_x_criteria |
    | criteria | random, entropy, ensemble_entropy, disagreement, margin | see Description |
    | action | hard | hard or soft |
    | batch | 10 | labels of a pull |
    | budget | 200 | labels, including flags, initial and validation labels |
    | n_initial | 10 | labels before the first pull |
    | n_validation | 0 | validation labels; needed by, and only by, validation_gain |
    | diverse | false | spread each pull |
    | members | 5 | of the ensemble, at least 2 |
    | C | 10 | inverse strength of its L2 penalty, as in scikit-learn |
    | reward | uncertainty_reduction: 1 | weights of the parts, ≥ 0 |
    | annotator | noise: 0, flag_reliability: 1 | :class:`curation_gym.annotators.simulated.AnnotatorConfig` |
    | evaluate_every | 1 | pulls between values of test_accuracy; the last pull always has one |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/AnnotationAllocation-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = AnnotationAllocationVectorEnv
