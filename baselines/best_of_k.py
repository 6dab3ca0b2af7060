"""RAFT as published: a model is fine-tuned on the best of its own samples, again and again."""

from collections.abc import Sequence

import numpy as np

from curation_gym.evaluation.language_model.judges import judged
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.signals.scores import Scorer


class BestOfK:
    """Dong et al., "RAFT: Reward rAnked FineTuning for Generative Foundation Model Alignment" (TMLR 2023), algorithm 1.

    A round draws prompts, has the model as it is continue each K times, keeps the continuation of highest reward for
    each, and fine-tunes on prompts with what was kept. It selects among what the model says, not among texts of a
    corpus, so it stands beside the policies of LanguageModelSelection-v0 at the same number of tokens trained on.

    Args:
        learner: whose model is fine-tuned.
        reward: texts → numbers in [0, 1], higher is better.
        prompts: beginnings of texts, from which each round draws.
        k: samples per prompt, ≥ 1.
        prompts_at_once: of a round, ≥ 1.
        new_tokens: of a sample.
        temperature: of sampling.
        batch_size: sequences sampled at once.
        seed: of prompts and samples.

    Attributes:
        sampled: tokens that the model has read and written to give what it was trained on, prompts included.

    Raises:
        ValueError: without prompts, or for a number below 1.
    """

    def __init__(
        self,
        learner: LanguageModelLearner,
        reward: Scorer,
        prompts: Sequence[str],
        *,
        k: int = 8,
        prompts_at_once: int = 128,
        new_tokens: int = 32,
        temperature: float = 1.0,
        batch_size: int = 128,
        seed: int = 0,
    ) -> None:
        if not len(prompts) or min(k, prompts_at_once, new_tokens) < 1:
            raise ValueError(
                f"prompts, k, prompts_at_once and new_tokens must be >= 1, actual: {len(prompts)} prompts, {k}, "
                f"{prompts_at_once} and {new_tokens}"
            )
        self.learner, self.reward, self.prompts = learner, reward, list(prompts)
        self.k, self.prompts_at_once, self.new_tokens = k, prompts_at_once, new_tokens
        self.temperature, self.batch_size = temperature, batch_size
        self._rng = np.random.default_rng(seed)
        self.sampled = 0

    def run(self, tokens: int) -> list[float]:
        """Rounds until the learner was given so many tokens more, the last one cut there.

        Returns:
            The mean reward of what each round kept.
        """
        left, rewards = tokens, []
        while left > 0:
            texts, reward = self.round()
            documents = []
            for document in self.learner.tokenize(texts):
                documents.append(document[: max(left - 1, 0)])
                left -= len(document) + 1
                if left <= 0:
                    break
            self.learner.train_on(documents)
            rewards.append(reward)
        return rewards

    def round(self) -> tuple[list[str], float]:
        """What a round keeps, a text per prompt, and its mean reward; the model isn't changed."""
        model = CausalModel(self.learner.model, self.learner.tokenizer, batch_size=self.batch_size)
        drawn = [self.prompts[i] for i in self._rng.integers(len(self.prompts), size=self.prompts_at_once)]
        seed = int(self._rng.integers(2**31))
        samples = model.generate(drawn, self.k, max_new_tokens=self.new_tokens, temperature=self.temperature, seed=seed)
        read = sum(map(len, self.learner.tokenize(drawn)))
        self.sampled += self.k * (read + len(drawn) * self.new_tokens)
        rewards = judged(lambda texts: self.reward(list(texts)), [text for row in samples for text in row])
        best = rewards.reshape(-1, self.k).argmax(1)
        kept = [prompt + row[index] for prompt, row, index in zip(drawn, samples, best, strict=True)]
        return kept, float(rewards.reshape(-1, self.k).max(1).mean())
