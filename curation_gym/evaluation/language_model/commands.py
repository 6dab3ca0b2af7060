"""``curation-gym evaluate METRIC``: every evaluation of a language model as a command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curation_gym.evaluation.language_model import data as read
from curation_gym.evaluation.language_model.attacks import attack_success, compliance, over_refusal, refusal
from curation_gym.evaluation.language_model.bias import TEMPLATE as BIAS_TEMPLATE
from curation_gym.evaluation.language_model.bias import bias
from curation_gym.evaluation.language_model.endpoint import ChatJudge
from curation_gym.evaluation.language_model.harness import TASKS, harness
from curation_gym.evaluation.language_model.judges import ANSWER
from curation_gym.evaluation.language_model.model import Dtype, Unit
from curation_gym.evaluation.language_model.perplexity import perplexity
from curation_gym.evaluation.language_model.preferences import preference_accuracy, readable, win_rate
from curation_gym.evaluation.language_model.probes import Labelled, linear_probe
from curation_gym.evaluation.language_model.recording import recorded
from curation_gym.evaluation.language_model.toxicity import toxicity
from curation_gym.evaluation.language_model.truthfulness import TEMPLATE as TRUTH_TEMPLATE
from curation_gym.evaluation.language_model.truthfulness import generative, multiple_choice

app = typer.Typer(no_args_is_help=True, help="Evaluate a causal language model.")

Model = Annotated[str, typer.Option("--model", help="Hub id, local directory, or package:NAME/DIRECTORY.")]
Data = Annotated[str, typer.Option("--data", help="A local file or directory, or a data set's NAME or NAME:SUBSET.")]
Split = Annotated[str | None, typer.Option("--split", help="Default: the only one, or test, or validation.")]
JudgeName = Annotated[str, typer.Option("--judge", help="Text classifier (hub id or path), or module:callable.")]
OptionalJudge = Annotated[str | None, typer.Option("--judge", help="As for toxicity; default: refusal phrases.")]
Label = Annotated[str | None, typer.Option("--judge-label", help="The classifier's label, by name or index.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Most rows, a random subset (of each domain).")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of samples and subsets.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Sequences per forward pass.")]
Most = Annotated[int | None, typer.Option("--max-length", min=2, help="Tokens that the model reads; default: it says.")]
Device = Annotated[str | None, typer.Option("--device", help="Default: the GPU where there is one.")]
DtypeName = Annotated[Dtype, typer.Option("--dtype", help="Of the model's weights, whatever they were saved in.")]
Out = Annotated[Path | None, typer.Option("--out", help="Result file; default: runs/evaluate/METRIC-MODEL.json.")]
Per = Annotated[Unit, typer.Option("--per", help="What a log-likelihood is divided by.")]
Template = Annotated[str | None, typer.Option("--template", help="With {prompt}; default: the chat template, if any.")]
JudgeTemplate = Annotated[
    str, typer.Option("--judge-template", help="What the judge reads: {answer}, and {prompt} if wanted.")
]
QuestionTemplate = Annotated[str | None, typer.Option("--template", help="With {question}; of BBQ, {context} too.")]
TemplateFile = Annotated[Path | None, typer.Option("--template-file", help="A text file that holds the template.")]
NewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Of a sample.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0, help="0: greedy decoding.")]


@app.command("perplexity")
def _perplexity(
    model: Model,
    data: Annotated[list[str], typer.Option("--data", help="As for other metrics; repeatable, each one domain.")],
    text: Annotated[str, typer.Option(help="The column of texts.")] = "text",
    domain: Annotated[str | None, typer.Option(help="The column of domains.")] = None,
    split: Split = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Tokens; default: half of what the model reads.")] = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Perplexity per domain."""
    with recorded("perplexity", locals()) as run:
        domains = read.read_domains([run.reference(given) for given in data], text, domain, split)
        documents = {name: run.limited(texts) for name, texts in domains.items()}
        run.result = perplexity(run.model, documents, stride=stride, seed=seed)


@app.command("toxicity")
def _toxicity(
    model: Model,
    judge: JudgeName,
    judge_label: Label = None,
    data: Data = "allenai/real-toxicity-prompts",
    column: Annotated[str, typer.Option(help="The column of prompts.")] = "prompt",
    split: Split = None,
    n_samples: Annotated[int, typer.Option(min=1, help="Per prompt.")] = 25,
    k: Annotated[int | None, typer.Option(min=1, help="Samples that the maximum is over; default: all.")] = None,
    max_new_tokens: NewTokens = 20,
    temperature: Temperature = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 0.9,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Toxicity of continuations, by the protocol of RealToxicityPrompts."""
    with recorded("toxicity", locals()) as run:
        prompts = run.limited(read.read_texts(run.reference(data), column, split))
        scorer = run.judge(judge, judge_label)
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        }
        run.result = toxicity(run.model, prompts, scorer, n_samples=n_samples, k=k, **options)


@app.command("attacks")
def _attacks(
    model: Model,
    data: Data = "advbench",
    split: Split = None,
    suffix: Annotated[list[str] | None, typer.Option(help="An adversarial suffix; repeatable.")] = None,
    suffixes: Annotated[Path | None, typer.Option(help="A file of suffixes, one a line.")] = None,
    own_suffixes: Annotated[
        str | None, typer.Option(help="A data set of suffixes for single prompts: columns prompt and suffix.")
    ] = None,
    judge: OptionalJudge = None,
    judge_label: Label = None,
    judge_template: JudgeTemplate = ANSWER,
    template: Template = None,
    max_new_tokens: NewTokens = 64,
    temperature: Temperature = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Attack success on harmful instructions, direct and with adversarial suffixes."""
    with recorded("attacks", locals()) as run:
        known = read.read_instructions(run.reference(data), split)
        prompts = run.limited(known)
        strings = [*(suffix or []), *([] if suffixes is None else read.read_lines(suffixes))]
        own = {} if own_suffixes is None else read.read_suffixes(run.reference(own_suffixes))
        left_out = set(known) - set(prompts)  # by --limit; what never was a prompt is refused
        scorer = compliance if judge is None else run.judge(judge, judge_label)
        options: dict[str, Any] = {
            "own_suffixes": {prompt: own[prompt] for prompt in own if prompt not in left_out},
            "judge_template": judge_template,
            "template": template,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        run.result = attack_success(run.model, prompts, strings, judge=scorer, **options)


@app.command("over-refusal")
def _over_refusal(
    model: Model,
    data: Data = "harmless_instructions",
    split: Split = None,
    judge: OptionalJudge = None,
    judge_label: Label = None,
    judge_template: JudgeTemplate = ANSWER,
    template: Template = None,
    max_new_tokens: NewTokens = 64,
    temperature: Temperature = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Share of harmless instructions that are refused."""
    with recorded("over-refusal", locals()) as run:
        prompts = run.limited(read.read_instructions(run.reference(data), split))
        scorer = refusal if judge is None else run.judge(judge, judge_label)
        options: dict[str, Any] = {
            "judge_template": judge_template,
            "template": template,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        run.result = {"refused": over_refusal(run.model, prompts, judge=scorer, **options)}


@app.command("bias")
def _bias(
    model: Model,
    data: Data = "bbq",
    category: Annotated[list[str] | None, typer.Option(help="One that is scored; repeatable; default: all.")] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="BBQ's additional_metadata.csv: which answer is biased.")
    ] = None,
    per: Per = "token",
    template: QuestionTemplate = None,
    template_file: TemplateFile = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Accuracy and bias scores on BBQ."""
    with recorded("bias", locals()) as run:
        form = run.template(BIAS_TEMPLATE)
        targets = None if metadata is None else read.read_targets(run.file(metadata))
        questions = run.limited(read.read_bias(run.reference(data), targets, category or ()))
        run.result = bias(run.model, questions, per=per, template=form, seed=seed)


@app.command("truthfulness")
def _truthfulness(
    model: Model,
    data: Data = "truthfulqa",
    split: Split = None,
    per: Per = "sum",
    template: QuestionTemplate = None,
    template_file: TemplateFile = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """MC1 and MC2 on TruthfulQA."""
    with recorded("truthfulness", locals()) as run:
        form = run.template(TRUTH_TEMPLATE)
        questions = run.limited(read.read_truth(run.reference(data), split))
        run.result = multiple_choice(run.model, questions, per=per, template=form)


@app.command("truthful-answers")
def _truthful_answers(
    model: Model,
    judge: JudgeName,
    informative_judge: Annotated[str, typer.Option(help="As --judge, of whether an answer answers.")],
    judge_label: Label = None,
    informative_judge_label: Annotated[str | None, typer.Option(help="Its label.")] = None,
    data: Data = "truthfulqa",
    split: Split = None,
    template: QuestionTemplate = None,
    template_file: TemplateFile = None,
    max_new_tokens: NewTokens = 50,
    temperature: Temperature = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """True × informative answers to TruthfulQA, in the model's own words."""
    with recorded("truthful-answers", locals()) as run:
        questions = run.limited(read.read_truth(run.reference(data), split))
        true, told = run.judge(judge, judge_label), run.judge(informative_judge, informative_judge_label)
        options: dict[str, Any] = {
            "template": run.template(TRUTH_TEMPLATE),
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        run.result = generative(run.model, questions, true, told, **options)


@app.command("preferences")
def _preferences(
    model: Model,
    data: Data = "hh_rlhf_harmless",
    split: Split = None,
    per: Per = "sum",
    drop_long: Annotated[bool, typer.Option("--drop-long", help="Leave out what the model can't read whole.")] = False,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Accuracy on preference pairs (HH-RLHF, HHH), per axis."""
    with recorded("preferences", locals()) as run:
        pairs = run.limited(read.read_preferences(run.reference(data), split))
        if drop_long:
            pairs = run.left(readable(run.model, pairs), "whose answers are longer than the model reads")
        run.result = preference_accuracy(run.model, pairs, per=per)


@app.command("win-rate")
def _win_rate(
    model: Model,
    baseline: Annotated[str, typer.Option(help="The model to compare with, as --model.")],
    judge_url: Annotated[str, typer.Option(help="Of an OpenAI-compatible server, such as http://localhost:8000/v1.")],
    judge_model: Annotated[str, typer.Option(help="The judge's name at the server.")],
    api_key_variable: Annotated[str | None, typer.Option(help="Environment variable with the key.")] = None,
    data: Data = "harmless_instructions",
    split: Split = None,
    template: Template = None,
    max_new_tokens: NewTokens = 128,
    temperature: Temperature = 0.0,
    parallel: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 4,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """How often a judge prefers the model to a baseline, asked in both orders."""
    with recorded("win-rate", locals()) as run:
        judge = ChatJudge(judge_url, judge_model, api_key_variable=api_key_variable)
        prompts = run.limited(read.read_instructions(run.reference(data), split))
        options: dict[str, Any] = {
            "template": template,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        run.result = win_rate(run.model, run.load("baseline"), prompts, judge, parallel=parallel, **options)


@app.command("probe")
def _probe(
    model: Model,
    data: Data = "sst2",
    text: Annotated[str, typer.Option(help="The column of texts.")] = "text",
    label: Annotated[str, typer.Option(help="The column of classes.")] = "label",
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """Downstream accuracy of a linear probe of the frozen model."""
    with recorded("probe", locals()) as run:
        splits = read.read_labelled(run.reference(data), text, label)
        pairs = [run.limited(list(zip(split.texts, split.labels, strict=True))) for split in splits]
        train, validation, test = (Labelled(*map(list, zip(*split, strict=True))) for split in pairs)
        run.result = linear_probe(run.model, train, validation, test)


@app.command("harness")
def _harness(
    model: Model,
    task: Annotated[list[str] | None, typer.Option(help=f"Repeatable; default: {', '.join(TASKS)}.")] = None,
    include: Annotated[Path | None, typer.Option(help="A directory of task files.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Solved examples; default: as the task says.")] = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Batch = 16,
    max_length: Most = None,
    device: Device = None,
    dtype: DtypeName = "float32",
    out: Out = None,
) -> None:
    """GLUE, SuperGLUE, MMLU, ToxiGen or any task of lm-evaluation-harness."""
    with recorded("harness", locals()) as run:
        options: dict[str, Any] = {"include": include, "num_fewshot": num_fewshot, "limit": limit, "seed": seed}
        run.result = harness(run.model, tuple(task or TASKS), **options)
