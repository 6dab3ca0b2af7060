"""AnnotationAllocation-v0: a budget of labels, spent arm by arm on a real pool while a learner retrains."""

import copy
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from curation_gym.annotators.answers import FLAG
from curation_gym.config import ConfigError, validated
from curation_gym.envs.allocation import ArmLedger, arm_columns
from curation_gym.envs.annotation_setting import ENV_ID, AnnotationAllocationConfig, lay_out
from curation_gym.envs.base import Arrays, CurationEnv, CurationVectorEnv, Rows, StepResult
from curation_gym.envs.campaign import AnnotationInfo, Campaign
from curation_gym.envs.render import render_arms
from curation_gym.learners.build import make_learner
from curation_gym.pools.build import build_pool
from curation_gym.pools.features import columns_after, columns_before
from curation_gym.signals.uncertainty import bound
from curation_gym.task import Column, Task


class AnnotationAllocationVectorEnv(CurationVectorEnv):
    """Batched core of :class:`AnnotationAllocationEnv`; a loop over rows, since a learner trains in each."""

    env_id = ENV_ID
    config_model: ClassVar[type[AnnotationAllocationConfig]] = AnnotationAllocationConfig
    info_type: ClassVar[type] = AnnotationInfo

    def _setup(self, config: dict[str, Any]) -> Task:
        self.config = cfg = validated(AnnotationAllocationConfig, config, ENV_ID)
        pools = [build_pool(source) for source in (cfg.pool, *cfg.more_pools)]
        self._settings = [lay_out(pool, cfg) for pool in pools]
        self.setting, pool = self._settings[0], pools[0]
        for setting in self._settings:
            if setting.arms != self.setting.arms:
                raise ConfigError(
                    f"{ENV_ID}: pools must have the same arms, actual: {_few(self.setting.arms)} of {pool!r}, "
                    f"{_few(setting.arms)} of {setting.pool!r}; choose subsets: all, or clusters with n_clusters"
                )
        names, classes = self.setting.arms, self.setting.classes
        try:
            learner = make_learner(cfg.learner, pool, classes, seed=0)
        except ValueError as error:  # only now it is known what the pool has
            raise ConfigError(f"{ENV_ID}: learner: {error}") from error
        n_arms, members = len(names), max(learner.members, 2)  # one alone never disagrees; any bound serves
        self._columns = arm_columns(cfg.horizon, cfg.budget, *cfg.reward.bounds)
        bounds = {name: bound(name, members, classes) for name in cfg.measured}
        self._all = cfg.arm_features == "all"
        before = columns_before(pool) if self._all else ()
        after = columns_after(pool) if self._all else ()
        criteria = cfg.criteria if len(cfg.criteria) > 1 else ()
        blocks = (
            before,
            tuple(Column(name, value) for name, value in bounds.items()),
            self._columns,
            (Column("target_share"), *after, *(Column(f"criterion={name}") for name in criteria)),
        )
        self._ends = np.cumsum([len(block) for block in blocks])
        own = np.tile(np.eye(len(cfg.criteria), dtype=np.float32), (len(self.setting.subsets), 1))
        self._criterion = own if criteria else own[:, :0]
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
            pool_fingerprint="+".join(pool.fingerprint for pool in pools),
            arms=names,
            action_space=spaces.Discrete(n_arms) if cfg.action == "hard" else spaces.Box(0, 1, (n_arms,), np.float32),
        )

    def _begin(self, rows: Rows) -> Arrays:
        infos = []
        for row in rows:
            rng, several = self._generator(int(row)), len(self._settings) > 1
            setting = self._settings[rng.integers(len(self._settings))] if several else self.setting
            campaign = Campaign(setting, int(rng.integers(2**63)))
            self._campaigns[row] = campaign
            flags = int((campaign.answers == FLAG).sum())
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
            campaign = self.campaign(int(row))
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
        return np.stack([none if campaign is None else campaign.offer.samples() for campaign in self._campaigns])

    def _mask(self) -> NDArray[np.int8]:
        none = np.zeros(self.task.n_items, np.bool_)
        open_arms = [none if campaign is None else campaign.offer.open() for campaign in self._campaigns]
        return np.stack(open_arms).astype(np.int8)

    def _observe(self, out: Arrays) -> None:
        cfg, task = self.config, self.task
        before, measured, state, _ = self._ends
        left, candidates = self._left(), np.ones((self.num_envs, 1))
        for row, campaign in enumerate(self._campaigns):
            item = out["item"][row]
            if campaign is None:
                item[:], out["context"][row] = 0, 0
                continue
            candidates[row] = len(campaign.setting.ids)
            public, item[:, before:measured] = campaign.offer.means()
            shown = public if self._all else public[:, :0]
            item[:, :before] = shown[:, :before]
            target = campaign.offer.target_shares()[:, None]
            item[:, state:] = np.hstack([target, shown[:, before:], self._criterion])
            out["context"][row, 0] = max(cfg.budget - campaign.spent, 0) / cfg.budget
            out["context"][row, 2:5] = campaign.learner_state()
            out["context"][row, 5] = campaign.last_reward / task.context[5].bound
        self._ledger.write(out["item"][..., measured:state], self._columns, self._step, left / candidates)
        out["context"][:, 1] = 1 - self._step / cfg.horizon
        out["mask"][:] = self._mask()
        space = self.single_observation_space["item"]  # type: ignore[index]
        # Means of what is in bounds are in bounds too, but for rounding.
        np.clip(out["item"], space.low, space.high, out=out["item"])

    def _frame(self, row: int) -> str | NDArray[np.uint8]:
        return render_arms(self, row, self._ledger, int(self._step[row]), float(self._total[row]))

    # ----------------------------------------------------------------- truth
    def campaign(self, row: int) -> Campaign:
        """The state of a row's episode, with what was asked and answered; for evaluation, never part of an observation.

        Raises:
            ResetNeeded: before the row's first reset.
        """
        campaign = self._campaigns[row]
        if campaign is None:
            raise gym.error.ResetNeeded(f"{ENV_ID}: call reset first")
        return campaign

    def lookahead(self, row: int, action: NDArray[Any]) -> float:
        """Test accuracy of a row's learner if ``action`` came next; nothing changes.

        Hidden truth, for references that were bound to this core; never part of an observation or a reward.
        """
        campaign = copy.deepcopy(self.campaign(row))
        if not campaign.done:
            campaign.pull(self._weights(action))
        return campaign.test_accuracy()


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")


def _stacked(infos: list[AnnotationInfo]) -> Arrays:
    records: list[dict[str, Any]] = [dict(info) for info in infos]
    # Texts as objects, as Gymnasium's own vector environments stack them.
    kind = {key: object if isinstance(value, str) else None for key, value in records[0].items()}
    return {key: np.array([record[key] for record in records], dtype) for key, dtype in kind.items()}


class AnnotationAllocationEnv(CurationEnv):
    """Which samples to label next, when labels cost money and the model that learns from them is at hand.

    ## Description
    The candidates are the train split of a real pool, their labels hidden. An arm is a part of them and a
    criterion. A pull spends up to ``batch`` labels on the arm's samples that the criterion ranks highest; a
    simulated annotator answers, flags a sample that is out of scope, or abstains; a learner is retrained on all
    answers; every criterion is computed anew. The task is that of pool-based active learning (Lewis and Gale,
    SIGIR 1994) with the choice of what to ask left to a bandit (Baram, El-Yaniv and Luz, JMLR 2004; Hsu and Lin,
    AAAI 2015).

    Criteria that score samples:
    - ``random``: an order drawn at reset;
    - those of :mod:`curation_gym.signals.uncertainty`, divided by their bounds: entropy and single_margin (of member 0,
      the single model), ensemble_entropy, member_entropy, disagreement, pairwise_kl, variance, variation_ratio, margin,
      ratio, least_confidence;
    - ``coverage``: candidates are clustered (k-means), anew whenever a tenth more has arrived; of every cluster that
      nobody was asked about, the sample nearest its centre scores ½ + ½ · size / largest size, all others 0. Asking by
      coverage first and by margin later is the order of "Bridging Diversity and Uncertainty in Active Learning"
      (Doucet et al., 2024).

    Criteria that pick a whole pull, for hard arms only: ``badge``, ``coreset``, ``typiclust``, see
    :mod:`curation_gym.acquisition`.

    ## Action space
    ``action="hard"``: ``Discrete(n_arms)``, the arm of this pull. ``action="soft"``: ``Box(0, 1,
    (n_arms,))``, a weight per arm; a sample's score is Σ over its arms of weight × criterion, and
    only samples of an arm with a weight above 0 are taken. A hard pull of an arm that is masked, and weights that
    leave no sample (all 0), use a pull, pay 0, cost no label and set ``info["invalid"]``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_arms, …) | embedding: centroid of what the arm offers; signals: their means |
    | | means over what it offers, divided by their bounds, of the uncertainties among the criteria, |
    | | ensemble_entropy and disagreement, in the order above |
    | | pulls, labels_spent, flags, mean_reward, last_reward, steps_since_pull, |
    | | samples_left (share of all candidates) |
    | | target_share: the share of its subset in what models are to serve, see below |
    | | domain=NAME: share of what it offers, when the pool has several; log_length: mean, when it has it |
    | | criterion=NAME: 1 for the arm's own, when there are several |
    | context (6,) | budget_left, steps_left, labelled_fraction |
    | | mean_entropy (ensemble_entropy) and mean_disagreement of all that is offered; pull_reward, the last |
    | mask (n_arms,) | 1 while a pull of the arm would ask about a sample |

    Offered are candidates that weren't asked about, have arrived (a pool's ``arrival`` is the share of the budget that
    is spent by then) and, with ``score_batch``, were drawn to be scored. Columns that are means are 0 for an exhausted
    arm. What models are to serve is told by the domains of the validation split, without its labels: the share that a
    domain has of it, spread evenly over the domain's candidates; all subsets together have 1, or 0 without validation
    samples of any domain that can be asked about; a domain none of whose samples has arrived has none yet.
    ``arm_features="state"`` leaves out embedding, signals and metadata, so that a policy can be trained on some pools
    (``more_pools``) and act on another; uncertainties are shares of their bound on each. Divide-by bounds are in
    ``env.task``. Arms are named SUBSET/CRITERION; the first and the validation answers belong to none.

    ## Rewards
    Σ over the parts of weight × part, by ``reward``. Gains and reductions can be negative, so a pull's reward lies
    in [−Σ of the first four weights, Σ of all]; dividing by the bound in ``env.task`` puts it in [−1, 1] for UCB.
    | part | formula | range |
    |---|---|---|
    | validation_gain | increase of (1/V) Σ_v p̄(y_v given x_v) over V bought validation answers | [−1, 1] |
    | domain_gain | the same over the validation answers of the label's domain | [−1, 1] |
    | uncertainty_reduction | mean decrease of H(p̄) / ln K over what is offered before and after the pull | [−1, 1] |
    | similar_reduction | the same over the label's cluster | [−1, 1] |
    | novelty | 1 − max(0, largest cosine to a sample asked about before the pull) | [0, 1] |
    | answered | 1 for a label, 0 for a flag or an abstention | [0, 1] |
    | corrected | 1 for a label other than the ensemble's class, else 0: the annotator's work was of use | [0, 1] |

    The probability of the validation answers is smoother than accuracy, which moves in steps of 1/V. Parts are
    averaged over the labels of a pull; a soft pull credits each label's to the arm that contributed most to its
    sample's score. With ``retrain_every`` above 1, gains and reductions come with the pull that retrains.

    ``info``: ``raw_reward`` (the same number), the parts (0 for a gain without validation answers),
    ``labels_spent`` (of the budget, so far), ``flags`` (in this pull), ``seconds`` (of the annotator's time, in
    this pull), ``test_accuracy`` (of the ensemble's mean on the samples in scope of the split that is evaluated on;
    NaN between evaluations; for evaluation only, part of no observation and no reward), ``invalid``, ``stopped``
    (why the stopping rule ended the campaign; empty unless it did). A reset has ``labels_spent``, ``flags`` and
    ``test_accuracy``.

    ## Starting state
    Of several pools one was drawn. ``n_initial`` candidates, drawn uniformly, were asked about, as were
    ``n_validation`` samples of the validation split. Everything random is drawn from the seed and the number of the
    pull, independently of the arms: under one seed, policies on different arms meet the same first labels, answers,
    learner and random order.

    ## Episode end
    Terminated when the budget doesn't pay for another answer (the last pull may be smaller), when ``horizon`` pulls
    were used, when no arm would ask about a sample, or when the ``stopping`` rule says so. Never truncated. The horizon
    is twice the number of full pulls that spend the budget; pulls, steps_since_pull and steps_left are shares of it.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | pool | builder: digits | a Pool, a path, or a builder's options; with hidden label and class names |
    | more_pools | – | further pools with the same arms; each episode draws one of all; needs arm_features state |
    | subsets | all | what arms are made of: all, domains, clusters or domains_x_clusters, each × every criterion |
    | criteria | random, entropy, ensemble_entropy, disagreement, margin | see Description |
    | action | hard | hard or soft |
    | arm_features | all | all, or state: only what means the same on every pool |
    | batch | 10 | samples asked about in a pull |
    | budget | 200 | in labels, including flags, abstentions, first and validation answers |
    | n_initial | 10 | samples asked about before the first pull |
    | n_validation | 0 | validation answers; for, and only for, a gain or stopping by gain_below_price |
    | n_clusters | – | of k-means; two per class, but at most one for ten labels or for fifty candidates |
    | recluster | false | clusters are found anew at each retraining, among what passes by the first criterion |
    | cluster_on | embedding | or probabilities (the ensemble's mean): what recluster goes by; coverage, |
    | | | similar_reduction, select and typiclust always go by the embedding |
    | score_batch | – | how many candidates, drawn anew at each retraining, are scored and offered; all of them |
    | percentile | 0 | only scores at or above this percentile of what is offered are asked about |
    | threshold | 0 | only scores at or above it are asked about |
    | select | best | a pull's samples: best, diverse (score × distance between directions), clustered (k-means), |
    | | | dbscan |
    | retrain_every | 1 | pulls |
    | learner | kind: linear | :data:`curation_gym.learners.build.LearnerConfig` |
    | reward | uncertainty_reduction: 1 | weights of the parts, ≥ 0 |
    | annotator | never wrong | :class:`curation_gym.annotators.simulated.AnnotatorConfig` |
    | stopping | – | :data:`curation_gym.stopping.StoppingConfig` |
    | evaluate_every | 1 | pulls between values of test_accuracy; the last pull always has one |
    | evaluate_on | test | split that test_accuracy is of; validation, where something is tuned by it |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/AnnotationAllocation-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = AnnotationAllocationVectorEnv
