"""Fine-tuning a causal language model, on tiny ones with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation_gym.config import ConfigError, validated
from curation_gym.learners import language_model as module
from curation_gym.learners.language_model import LanguageModelLearner, load_causal
from curation_gym.learners.language_model_config import FineTuningConfig
from curation_gym.signals.pretrained import multiplies_in_bfloat16
from tests.learners.tiny_lm import WORDS, save_tiny, tiny_model, tiny_tokenizer

OPTIONS = {"block": 8, "batch_size": 2, "learning_rate": 0.01}


def make(seed: int = 0, total: int = 4000, dropout: float = 0.0, **options: Any) -> LanguageModelLearner:
    config = FineTuningConfig(**(OPTIONS | options))
    return LanguageModelLearner(tiny_model(dropout=dropout), tiny_tokenizer(), config, total, seed)


def documents(n: int, seed: int = 0) -> list[np.ndarray]:
    """Sentences of one pattern, of different length."""
    sentence = "the boat sails far and then a soup cooks well"
    pattern = [WORDS.index(word) + 2 for word in sentence.split()]
    rng = np.random.default_rng(seed)
    return [np.array(pattern[: rng.integers(1, len(pattern) + 1)]) for _ in range(n)]


def weights(learner: LanguageModelLearner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_what_it_reads() -> None:
    learner = make()
    learner.train_on(documents(20))
    first = learner.loss
    learner.train_on(documents(400, seed=1))
    assert learner.loss < 0.6 * first
    assert learner.tokens == learner.updates * 16
    assert not learner.model.training


def test_documents_are_packed_and_no_token_is_lost() -> None:
    """The batches are those of one long text in which every document is followed by the end of text."""
    docs = documents(30)
    seen: list[np.ndarray] = []
    learner = make()
    learner._update = lambda batch: seen.append(batch.numpy())  # type: ignore[method-assign]
    for start in range(0, 30, 7):
        learner.train_on(docs[start : start + 7])
    text = np.concatenate([np.append(doc, 0) for doc in docs])
    n = len(text) // 16
    np.testing.assert_array_equal(np.concatenate(seen).ravel(), text[: n * 16])
    np.testing.assert_array_equal(learner._waiting, text[n * 16 :])


def test_an_update_is_that_of_a_plain_loop() -> None:
    learner, model = make(schedule="linear", total=160), tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.01)
    docs = documents(30)
    learner.train_on(docs)
    text = torch.from_numpy(np.concatenate([np.append(doc, 0) for doc in docs]))
    model.train()
    for step in range(len(text) // 16):
        batch = text[step * 16 : step * 16 + 16].reshape(2, 8)
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - min(step * 16 / 160, 1))
        optimizer.step()
    assert learner.updates == len(text) // 16 > 5
    assert_same(model.state_dict(), weights(learner))


def test_resumed_equals_uninterrupted_to_the_bit(tmp_path: Path) -> None:
    docs = documents(60)
    whole = make(dropout=0.1)
    whole.train_on(docs)
    begun = make(dropout=0.1)
    begun.train_on(docs[:25])
    begun.save(tmp_path / "lm.pt")
    resumed = make(seed=5, dropout=0.1).load(tmp_path / "lm.pt")
    resumed.train_on(docs[25:])
    assert_same(weights(whole), weights(resumed))
    assert (whole.tokens, whole.updates, whole.loss) == (resumed.tokens, resumed.updates, resumed.loss)


def test_in_bfloat16_only_the_products_are_coarser(tmp_path: Path) -> None:
    coarse, fine = make(precision="bfloat16"), make()
    for learner in (coarse, fine):
        learner.train_on(documents(40))
    assert coarse.loss == pytest.approx(fine.loss, rel=0.02)
    assert coarse.loss != fine.loss
    assert all(weight.dtype == torch.float32 for weight in coarse.model.parameters())
    coarse.save(tmp_path / "state")
    again = make(precision="bfloat16").load(tmp_path / "state")
    for learner in (coarse, again):
        learner.train_on(documents(20, seed=2))
    assert_same(weights(coarse), weights(again))


@pytest.mark.parametrize("able", [False, True])
def test_auto_takes_bfloat16_where_the_machine_multiplies_in_it(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "multiplies_in_bfloat16", lambda device: able)
    assert make(precision="auto").bfloat16 == able
    assert (make(precision="bfloat16").bfloat16, make().bfloat16) == (True, False), "what is asked for is done"
    told, by_name = make(precision="auto"), make(precision="bfloat16" if able else "float32")
    for learner in (told, by_name):
        learner.train_on(documents(20))
    assert_same(weights(told), weights(by_name))


def test_which_processors_multiply_in_bfloat16() -> None:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        pytest.skip("only Linux tells the processor's instructions in a file")
    if "flags" not in flags:
        pytest.skip("ARM's are told by other names")
    assert multiplies_in_bfloat16(torch.device("cpu")) == bool(flags & {"amx_bf16", "avx512_bf16"})


def test_a_state_is_independent_of_what_follows() -> None:
    learner = make()
    learner.train_on(documents(20))
    state, then = learner.state(), weights(learner)
    learner.train_on(documents(20, seed=1))
    after = weights(learner)
    assert_same(weights(learner.restore(state)), then)
    learner.train_on(documents(20, seed=1))
    assert_same(weights(learner), after)
    assert_same(weights(learner.restore(state)), then)


def test_the_seed_decides_dropout_and_nothing_else_draws() -> None:
    before = torch.random.get_rng_state()
    one, two, other = make(dropout=0.5), make(dropout=0.5), make(seed=1, dropout=0.5)
    torch.random.set_rng_state(before)
    for learner in (one, two, other):
        learner.train_on(documents(10))
    assert torch.equal(before, torch.random.get_rng_state())
    assert_same(weights(one), weights(two))
    assert not torch.equal(*(next(iter(weights(learner).values())) for learner in (one, other)))


def test_a_loss_that_is_not_finite_is_no_update_and_ten_end_the_run() -> None:
    learner = make()
    learner.train_on(documents(10))
    good, updates = weights(learner), learner.updates
    broken = learner.model.gpt_neox.final_layer_norm.weight  # type: ignore[union-attr]
    kept = broken.detach().clone()
    with torch.no_grad():
        broken[:] = torch.nan
    learner.train_on(documents(7, seed=2))
    assert learner.skipped > 0
    assert learner.updates == updates
    with torch.no_grad():
        broken.copy_(kept)
    assert_same(weights(learner), good)
    learner.train_on(documents(10, seed=3))
    assert learner.updates > updates
    with torch.no_grad():
        broken[:] = torch.nan
    with pytest.raises(ArithmeticError, match=r"10 batches in a row .* lower learning_rate = 0\.01"):
        learner.train_on(documents(100))


@pytest.mark.parametrize("kind", ["gpt_neox", "gpt2", "opt"])
def test_models_are_loaded_from_a_directory(tmp_path: Path, kind: str) -> None:
    learner = LanguageModelLearner(*load_causal(str(save_tiny(tmp_path, kind))), FineTuningConfig(**OPTIONS), 1000)
    tokens = learner.tokenize(["the boat sails", "soup and soup and soup"], max_tokens=4)
    assert [ids.tolist() for ids in tokens] == [[2, 4, 6], [5, 10, 5, 10]]
    learner.train_on(tokens * 20)
    assert learner.updates > 5
    assert np.isfinite(learner.loss)


def test_adapters_leave_the_model_as_it_was() -> None:
    pytest.importorskip("peft")
    learner = make(lora={"rank": 2, "targets": ("query_key_value",)})
    before = weights(learner)
    learner.train_on(documents(40))
    after = weights(learner)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora" in name for name in changed)
    again = make(lora={"rank": 2, "targets": ("query_key_value",)})
    assert_same(before, weights(again))


def test_what_cannot_be_loaded_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"AutoModelForCausalLM can't load '.*empty'"):
        load_causal(str(tmp_path / "empty"))
    endless = tiny_tokenizer()
    endless.eos_token = None
    with pytest.raises(ValueError, match="no end-of-text token; set its eos_token"):
        LanguageModelLearner(tiny_model(), endless, FineTuningConfig(**OPTIONS), 10)
    learner = make()
    (tmp_path / "bad.pt").write_bytes(b"no state")
    with pytest.raises(ValueError, match="is no state of a language model"):
        learner.load(tmp_path / "bad.pt")
    learner.save(tmp_path / "lm.pt")
    with pytest.raises(ValueError, match="another configuration"):
        make(block=4).load(tmp_path / "lm.pt")
    with pytest.raises(ConfigError, match="warm_up goes with schedule 'linear'"):
        validated(FineTuningConfig, OPTIONS | {"schedule": "cosine", "warm_up": 0.1}, "here")


def test_a_full_disk_keeps_the_state_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make()
    path = tmp_path / "lm.pt"
    learner.save(path)
    before = path.read_bytes()
    learner.train_on(documents(10))

    def full(state: Any, target: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"lm\.pt can't be written: .*No space left.* what was there is kept"):
        learner.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["lm.pt"]
