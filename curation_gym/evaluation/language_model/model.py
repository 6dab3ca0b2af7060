"""A causal language model as evaluations use it: likelihoods of given texts, seeded samples, hidden states."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from curation_gym.console import progress
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.sampling import Draw
from curation_gym.signals.pretrained import default_device, load_pretrained

Unit = Literal["sum", "token", "character"]
"""What a log-likelihood is divided by before it is compared: nothing, its tokens, or its characters."""
Dtype = Literal["float32", "bfloat16", "float16"]
"""What a model computes in."""


class LogLikelihood(NamedTuple):
    """Log-likelihoods of n continuations.

    Attributes:
        total: float64 (n,), nats, ≤ 0.
        tokens: (n,) ≥ 1, how many tokens that is the sum over.
        characters: (n,) ≥ 1, of the continuation.
    """

    total: NDArray[np.float64]
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]

    def per(self, unit: Unit) -> NDArray[np.float64]:
        """Divided by ``unit``, (n,)."""
        divisors = {"sum": np.ones_like(self.tokens), "token": self.tokens, "character": self.characters}
        if unit not in divisors:
            raise EvaluationError(f"unit must be one of {', '.join(divisors)}, actual value: {unit!r}")
        return np.asarray(self.total / divisors[unit])


class CausalModel:
    """A causal language model and its tokenizer.

    The model is used where it is and left as it was: gradients are off, every module is in evaluation mode for the
    time of a call, and no global generator is read or written. So a training loop may wrap its model once and ask
    between any two steps.

    A text starts with the token that the tokenizer itself puts first, if it does; one without any token to start from
    starts with BOS, or EOS where there is no BOS.

    Args:
        model: of transformers, with a head over the vocabulary.
        tokenizer: of transformers, a fast one.
        name: for reports.
        batch_size: sequences per forward pass.
        max_length: tokens that the model can read; by default ``max_position_embeddings`` of its configuration.
        show_progress: whether calls of several batches show a progress bar on a terminal.

    Raises:
        EvaluationError: when the tokenizer isn't a fast one, or nothing says how much the model can read.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "in memory",
        batch_size: int = 16,
        max_length: int | None = None,
        show_progress: bool = False,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise EvaluationError(f"a fast tokenizer is needed, actual: {type(tokenizer).__name__}; convert it")
        limit = getattr(model.config, "max_position_embeddings", None) if max_length is None else max_length
        if limit is None:
            raise EvaluationError(f"the configuration of {name!r} doesn't say how much it can read: give max_length")
        if batch_size < 1 or limit < 2:
            raise EvaluationError(f"batch_size must be >= 1 and max_length >= 2, actual: {batch_size} and {limit}")
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.batch_size, self.max_length, self.show_progress = batch_size, int(limit), show_progress
        bos = tokenizer.bos_token_id
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self._pad = int(next(token for token in pads if token is not None))
        self._start = [bos] if bos is not None and tokenizer("a").input_ids[:1] == [bos] else []

    @classmethod
    def load(cls, source: str, device: str | None = None, dtype: Dtype = "float32", **options: Any) -> Self:
        """Load a model.

        Args:
            source: a hub id, a local directory, or ``package:NAME/DIRECTORY``.
            device: by default the GPU where there is one.
            dtype: of its weights, whatever they were saved in. In half precision, what should be equal to rounding
                (batches of another size, likelihoods that tie) is so to about 10⁻² only.
            options: see the class.

        Raises:
            ModelError: when it can't be loaded.
            EvaluationError: for another dtype; and see the class.
        """
        if dtype not in get_args(Dtype):
            raise EvaluationError(f"dtype must be one of {', '.join(get_args(Dtype))}, actual value: {dtype!r}")
        tokenizer = load_pretrained("AutoTokenizer", source)
        # By this name every version of transformers knows it; without it, new ones take what the weights were saved in.
        model = load_pretrained("AutoModelForCausalLM", source, torch_dtype=getattr(torch, dtype))
        return cls(model.to(torch.device(device) if device else default_device()), tokenizer, name=source, **options)

    # ------------------------------------------------------------ likelihoods
    def log_likelihood(self, contexts: Sequence[str], continuations: Sequence[str]) -> LogLikelihood:
        """Log-probability of each continuation after its context.

        Both are tokenised as one text; a token that holds characters of both counts to the continuation. A context
        that is too long loses its beginning.

        Args:
            contexts: n texts; an empty one stands for the start of a text.
            continuations: n texts, with the space that separates them from the context.

        Raises:
            EvaluationError: for lists of different lengths, a continuation without tokens, or one that the model
                can't read whole.
        """
        if len(contexts) != len(continuations) or not len(contexts):
            raise EvaluationError(
                f"contexts and continuations must be as many, at least one; actual: {len(contexts)} and "
                f"{len(continuations)}"
            )
        whole = [context + continuation for context, continuation in zip(contexts, continuations, strict=True)]
        encoded = self.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        sequences, scored = [], []
        for row, (ids, offsets) in enumerate(zip(encoded.input_ids, encoded.offset_mapping, strict=True)):
            n_context = sum(end <= len(contexts[row]) for _, end in offsets)
            n = len(ids) - n_context
            # What is scored last is never read, so the model's length is enough for one token more.
            if not 1 <= n <= self.max_length:
                raise EvaluationError(
                    f"continuation {row} has {n} tokens, {self.name} can score 1 to {self.max_length}; shorten it, or "
                    "leave it out"
                )
            sequences.append(self._context(ids[:n_context], self.max_length + 1 - n) + ids[n_context:])
            scored.append(n)
        characters = np.array([len(text) for text in continuations], np.int64)
        return LogLikelihood(self.score_tokens(sequences, scored), np.array(scored, np.int64), characters)

    def score_tokens(self, sequences: Sequence[Sequence[int]], scored: Sequence[int]) -> NDArray[np.float64]:
        """Log-probability of the last tokens of sequences, given all tokens before each.

        Args:
            sequences: n lists of at most ``max_length + 1`` token ids.
            scored: how many of the last tokens, less than there are.

        Returns:
            Sums, float64 (n,), nats.

        Raises:
            EvaluationError: when one isn't finite.
        """
        total = np.empty(len(sequences))
        with self.evaluating():
            for batch in self._batches([len(sequence) for sequence in sequences], "reading"):
                inputs = [sequences[row][:-1] for row in batch]
                ids, mask = self._padded(inputs, left=False)
                logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
                # Only what is scored is normalised: beside a large vocabulary the rest would cost as much memory again.
                n = [scored[row] for row in batch]
                where = np.repeat(np.arange(len(batch)), n)
                at = np.concatenate([np.arange(len(x) - k, len(x)) for x, k in zip(inputs, n, strict=True)])
                targets = [token for row, k in zip(batch, n, strict=True) for token in sequences[row][-k:]]
                loss = functional.cross_entropy(
                    logits[where, at].float(), torch.tensor(targets, device=logits.device), reduction="none"
                )
                total[batch] = -np.bincount(where, loss.cpu().numpy(), len(batch))
        if not np.isfinite(total).all():
            row = int(np.argmin(np.isfinite(total)))
            raise EvaluationError(f"{self.name}, sequence {row}: the log-likelihood is {total[row]}")
        return total

    # --------------------------------------------------------------- sampling
    def generate(
        self,
        prompts: Sequence[str],
        n_samples: int = 1,
        *,
        max_new_tokens: int = 20,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str | None = None,
    ) -> list[list[str]]:
        """Sample continuations.

        The random numbers of a sample depend on ``seed``, the prompt's index and the sample's index only: not on the
        batch size, not on later prompts, not on how many samples there are. What the batch does change is the last
        digits of the probabilities, so a token whose random number falls within rounding (about 10⁻⁷ of the unit
        interval) of another's may differ; with greedy decoding, one whose logit equals the best to rounding.

        Args:
            prompts: n texts; an empty one stands for the start of a text. One that is too long loses its beginning.
            n_samples: per prompt; 1 with greedy decoding.
            max_new_tokens: a sample ends there, or where the model ends it.
            temperature: ≥ 0; 0: the most probable token, always.
            top_p: in (0, 1]: the smallest set of most probable tokens with at least this mass (nucleus sampling,
                Holtzman et al., ICLR 2020).
            seed: ≥ 0.
            stop: samples are cut before the first occurrence of this text.

        Returns:
            ``n_samples`` texts per prompt, without the prompt; one may be empty.

        Raises:
            EvaluationError: for an option outside its range.
        """
        if not len(prompts) or n_samples < 1 or not 1 <= max_new_tokens < self.max_length:
            raise EvaluationError(
                f"prompts and n_samples must be >= 1, max_new_tokens in 1 … {self.max_length - 1}; actual: "
                f"{len(prompts)}, {n_samples} and {max_new_tokens}"
            )
        if not temperature >= 0 or not 0 < top_p <= 1 or (temperature == 0 and n_samples > 1):
            raise EvaluationError(
                "temperature must be >= 0, top_p in (0, 1], and at temperature 0 all samples are the same: ask for "
                f"one; actual: {temperature}, {top_p} and n_samples = {n_samples}"
            )
        encoded = self.tokenizer(list(prompts), add_special_tokens=False, verbose=False).input_ids
        ids = [self._context(prompt, self.max_length - max_new_tokens) for prompt in encoded]
        rows = [(i, k) for i in range(len(prompts)) for k in range(n_samples)]
        texts: list[list[str]] = [[""] * n_samples for _ in prompts]
        with self.evaluating(), self._plain_generation(max_new_tokens) as config:
            for batch in self._batches([len(ids[i]) for i, _ in rows], "sampling"):
                inputs, mask = self._padded([ids[rows[row][0]] for row in batch], left=True)
                keys = [rows[row] for row in batch]
                draw = [Draw(keys, temperature, top_p, seed)] if temperature > 0 else []
                out = self.model.generate(
                    input_ids=inputs, attention_mask=mask, generation_config=config, logits_processor=draw
                )
                new = self.tokenizer.batch_decode(out[:, inputs.shape[1] :], skip_special_tokens=True)
                for (i, k), text in zip(keys, new, strict=True):
                    texts[i][k] = text if stop is None else text.split(stop, 1)[0]
        return texts

    # ---------------------------------------------------------- hidden states
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the last hidden states over a text's tokens, float32 (n, width). Texts are cut at ``max_length``."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False).input_ids
        ids = [self._context(text[: self.max_length - 1], self.max_length) for text in encoded]
        parts: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(ids)
        with self.evaluating():
            for batch in self._batches([len(x) for x in ids], "embedding"):
                inputs, mask = self._padded([ids[row] for row in batch], left=False)
                out = self.model(input_ids=inputs, attention_mask=mask, use_cache=False, output_hidden_states=True)
                states = out.hidden_states[-1]
                weight = mask[:, :, None].to(torch.float32)
                means = (states.float() * weight).sum(1) / weight.sum(1)
                for row, mean in zip(batch, means.cpu().numpy(), strict=True):
                    parts[row] = mean
        return np.stack(parts)

    # ------------------------------------------------------------------ parts
    def encode(self, text: str) -> list[int]:
        """Token ids of a text, after a token to start from.

        Raises:
            EvaluationError: when the tokenizer has neither BOS nor EOS.
        """
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        start = self._beginning()
        return list(ids) if ids[:1] == start else start + ids

    def _context(self, ids: list[int], length: int) -> list[int]:
        """What is read before something is predicted: 1 to ``length`` tokens, the last ones of a text."""
        if self._start and ids[:1] == self._start:
            ids = ids[1:]
        start = self._start if self._start or ids else self._beginning()
        room = length - len(start)
        return start + (ids[-room:] if room else [])

    def _beginning(self) -> list[int]:
        tokens = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        first = next((token for token in tokens if token is not None), None)
        if first is None:
            raise EvaluationError(
                f"the tokenizer of {self.name} has neither BOS nor EOS for an empty context to start with: set one"
            )
        return [first]

    def _batches(self, lengths: Sequence[int], description: str) -> Iterable[list[int]]:
        """Rows in batches of similar length, the longest first: what doesn't fit into memory fails at once."""
        order = np.argsort(lengths, kind="stable")[::-1].tolist()
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        return progress(batches, description) if self.show_progress and len(batches) > 1 else batches

    def _padded(self, sequences: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask, both (n, longest)."""
        width = max(map(len, sequences))
        ids = torch.full((len(sequences), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            at = slice(width - len(sequence), width) if left else slice(len(sequence))
            ids[row, at], mask[row, at] = torch.tensor(sequence), 1
        return ids.to(self.model.device), mask.to(self.model.device)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No gradients, and evaluation mode; afterwards every module is in the mode that it was in."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            # Not inference mode: what a model keeps of a forward pass must stay usable in training.
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training

    @contextmanager
    def _plain_generation(self, max_new_tokens: int) -> Iterator[Any]:
        """A configuration of generation that takes nothing but the ends of a text from the model's own, whose
        penalties and defaults transformers would mix in."""
        from transformers import GenerationConfig

        own = self.model.generation_config
        ends = own.eos_token_id if own.eos_token_id is not None else self.tokenizer.eos_token_id
        plain = GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=self._pad, use_cache=True
        )
        self.model.generation_config = plain
        try:
            yield plain
        finally:
            self.model.generation_config = own
