"""Three real models (`make models`) on three corpora: what a search over them finds, and what it costs.

`python -m tests.benchmarks three_models`; RAG_OPT_BENCH_DATA: some of default,chunking_evaluation,scifact. The outputs
are kept in RAG_OPT_BENCH_OUTPUTS where it is set: a second run then measures nothing anew but the comparisons.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.estimating import CSV, SHARED, _run, _seconds
from tests.development_models import MPNET

SCIFACT = ["dataset=beir", f"dataset.folder={SHARED}/scifact", "dataset.split=train"]
CORPORA: dict[str, list[str]] = {
    "default": [],
    "chunking_evaluation": CSV,
    # abstracts of about 250 tokens, with documents as evidence: fewer ways to cut, fewer trials
    "scifact": [*SCIFACT, "study.trials=24", "space.chunker.recursive.size=[160,224]", "only.chunker=recursive"],
}
MODELS = {"minilm": "MiniLM", "all_mpnet_base_v2": "mpnet", ".models/wordllama-l2-supercat-256": "wordllama"}
_CONTEXT_TOKENS = 1000
Row = tuple[str, str, str]


def measure() -> list[Row]:
    """Search, then compare the models on what the search has embedded."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(os.environ.get("RAG_OPT_BENCH_OUTPUTS", scratch))
        for name in os.environ.get("RAG_OPT_BENCH_DATA", ",".join(CORPORA)).split(","):
            overrides = ["experiment=three_models", f"study.name={name}", f"outputs={kept / name}", *CORPORA[name]]
            for row in [*_search(name, overrides), *_compare(name, overrides)]:
                print("|", " | ".join(row), "|", file=sys.stderr, flush=True)
                rows.append(row)
    return rows


def measure_parity() -> list[Row]:
    """Each model by plain torch in float32, and by what is chosen for documents here: loading, speed, cosine."""
    import dataclasses

    from rag_opt.cli.composing import conf_folder
    from rag_opt.core.registry import load_parts
    from rag_opt.models.embedder_cards import embedder_card_library
    from rag_opt.models.encoder import Encoder
    from rag_opt.models.runtimes import Machine
    from rag_opt.store.values import MemoryValues
    from tests.benchmarks.families import dataset

    load_parts()
    words = " ".join(document.text for document in dataset("chunking_evaluation").corpus.documents[:2]).split()
    texts = [" ".join(words[first : first + 150]) for first in range(0, 150 * 112, 150)]
    rows: list[Row] = []
    for name, label in MODELS.items():
        card = embedder_card_library([conf_folder()]).read(name)
        card = dataclasses.replace(card, path=str(MPNET)) if name == "all_mpnet_base_v2" else card
        plain, speed = None, 0.0
        for machine in (Machine(device="cpu", runtime="torch", document_precision="float32"), Machine(device="cpu")):
            encoder = Encoder(card, values=MemoryValues(), machine=machine)
            started = time.perf_counter()
            encoder.prepare("document")
            loading = time.perf_counter() - started
            encoder.vectors(texts[:16], "document")
            started = time.perf_counter()
            vectors = encoder.vectors(texts[16:], "document")
            fast = len(texts[16:]) / (time.perf_counter() - started)
            plain, speed = (vectors, fast) if plain is None else (plain, speed)
            cosine, chosen = float((vectors * plain).sum(axis=1).min()), encoder.runtime
            said = f"{fast:,.1f} texts/s ({fast / speed:.1f} times), cosine at least {cosine:.5f}"
            said += f", loaded in {loading:.1f} s"
            target = "2 times, 0.999" if chosen.precision == "bfloat16" else ""
            rows.append((f"{label} by {chosen.library} in {chosen.precision}, texts of 200 tokens", said, target))
    return rows


def _search(name: str, overrides: Sequence[str]) -> list[Row]:
    guessed = _seconds(_run("estimate", *overrides))
    started = time.perf_counter()
    command = [sys.executable, "-m", "rag_opt.search", *overrides, "tracking=none"]
    subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True, stdout=subprocess.DEVNULL)
    spent = time.perf_counter() - started
    return [(f"{name}: the search", f"{spent:.0f} s, estimated {guessed:.0f} s ({guessed / spent - 1:+.0%})", "")]


def _compare(name: str, overrides: Sequence[str]) -> list[Row]:
    from rag_opt.cli.composing import compose, conf_folder
    from rag_opt.report.study import Study
    from rag_opt.setup.prepare import prepare

    prepared = prepare(compose([*overrides, "tracking=none"]), conf_folders=[conf_folder()])
    study = Study(prepared.search.folder.path)
    rows = [*_winner(name, study), *_work(name, prepared, study)]
    rows += _at_default_settings(name, prepared, study)
    return rows + _at_equal_context(name, prepared, study)


def _model(spec: Any) -> str:
    ((_, settings),) = spec["embedder"].items()
    return MODELS.get(str(settings.get("name", "")), "none")


def _winner(name: str, study: Any) -> list[Row]:
    result, best = study.result, study.best
    gain = result["gain"]
    interval = f"[{gain['low'] * 100:+.1f}, {gain['high'] * 100:+.1f}]"
    said = f"{_model(best.spec)}, trial {best.number}: {result['verdict']}, {gain['mean'] * 100:+.1f} {interval}"
    tried: dict[str, list[float]] = defaultdict(list)
    for trial in study.trials:
        if trial.value is not None:
            tried[_model(trial.spec)].append(trial.value)
    best_of = ", ".join(f"{model} {max(values):.4f} of {len(values)}" for model, values in tried.items())
    return [(f"{name}: winner over the baseline, held out", said, ""), (f"{name}: best value in trials", best_of, "")]


def _work(name: str, prepared: Any, study: Any) -> list[Row]:
    """Tokens embedded by model, as a share of all chunkings by all models; and weighed by the size of the models."""
    from rag_opt.core.errors import RagOptError
    from rag_opt.pipeline.plan import Planner
    from rag_opt.pipeline.spec import PipelineSpec

    search, done, seconds = prepared.search, defaultdict(float), defaultdict(float)
    by_id = {search.builder.encoder(model).card.id: label for model, label in MODELS.items()}
    millions = {label: search.builder.encoder(model).card.parameters_millions or 1.0 for model, label in MODELS.items()}
    seen = set[str]()
    for trial in study.trials:
        cut = repr([trial.spec["chunker"], _model(trial.spec)])
        for stage, (work, took) in trial.made.items():  # what it is made of, also where an earlier trial made it
            family, _, model = stage.partition(" ")
            if family == "embed" and model in by_id and cut not in seen:
                seen.add(cut)
                seconds[by_id[model]] += took
                done[by_id[model]] += work
    planner, every = Planner(search.builder, search.questions), defaultdict(float)
    for kind, parameters in search.space.tree["chunker"].items():
        for size in parameters["size"].values:
            for overlap in parameters["overlap"].values if "overlap" in parameters else (None,):
                cut = {"size": size} | ({} if overlap is None else {"overlap": overlap})
                for model, label in MODELS.items():
                    spec = {**search.baseline.to_dict(), "chunker": {kind: cut}, "embedder": {"model": {"name": model}}}
                    spec["retriever"] = {"dense": {"top_k": 5}}
                    try:
                        stages = planner.outline(PipelineSpec.from_dict(spec)).stages
                    except RagOptError:  # a chunk longer than the model reads
                        continue
                    every[label] += sum(stage.work for stage in stages if stage.name.startswith("embed "))
    tokens = sum(done.values()) / sum(every.values())
    weighed = sum(done[m] * millions[m] for m in done) / sum(every[m] * millions[m] for m in every)
    shares = ", ".join(f"{model} {done[model]:,.0f} of {every[model]:,.0f}" for model in every)
    took = ", ".join(f"{label} {seconds[label]:.0f} s, {done[label] / seconds[label]:,.0f} tokens/s" for label in done)
    return [
        (f"{name}: tokens embedded, of all chunkings by all models", f"{tokens:.0%} ({shares})", "at most half"),
        (f"{name}: the same, times the models' parameters", f"{weighed:.0%}", "at most half"),
        (f"{name}: embedding of documents", took, ""),
    ]


def _at_default_settings(name: str, prepared: Any, study: Any) -> list[Row]:
    """The default pipeline with each model, and the winner, on the held-out questions."""
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.study.evaluation import evaluate

    search, values = prepared.search, dict[str, float]()
    for model, label in MODELS.items():
        spec = PipelineSpec.from_dict({**search.baseline.to_dict(), "embedder": {"model": {"name": model}}})
        found = evaluate(search.builder, spec, prepared.held_out, search.objective_set)
        values[label] = float(np.nanmean(found.optimised))
    winner = evaluate(search.builder, PipelineSpec.from_dict(study.best.spec), prepared.held_out, search.objective_set)
    ours, best = float(np.nanmean(winner.optimised)), max(values, key=lambda label: values[label])
    each = ", ".join(f"{label} {value:.4f}" for label, value in values.items())
    what = f"{name}: held out, winner against the default pipeline with each model"
    return [(what, f"{ours:.4f} against {each}", f"at least {values[best]:.4f} ({best})")]


def _at_equal_context(name: str, prepared: Any, study: Any) -> list[Row]:
    """Vectors alone, packed to the same tokens of context (documents: the first 10): at one chunking, and at the best.

    The best is chosen on the search questions, of the chunkings that the search embedded with the model; all are
    compared on the held-out ones, by pairs with MiniLM.
    """
    import numpy as np

    from rag_opt.core.registry import lookup
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.study.evaluation import ObjectiveSet, evaluate

    documents = name == "scifact"
    objectives = ObjectiveSet(lookup("objective", "ndcg" if documents else "evidence_recall")(), (), (), ())
    fixed = {
        "retriever": {"dense": {"top_k": 50, "depth": 100}},
        "reranker": {"none": {}},
        "packer": {"ranked": {"context_tokens": 1_000_000 if documents else _CONTEXT_TOKENS}},
        "generator": {"none": {}},
    }
    built: dict[str, dict[str, Any]] = defaultdict(dict)
    for trial in study.trials:
        if trial.value is not None and "lexical" not in trial.spec["retriever"] and _model(trial.spec) != "none":
            spec = PipelineSpec.from_dict({**trial.spec, **fixed})
            built[_model(trial.spec)][str(spec.chunker)] = spec

    def scored(spec: Any, questions: Sequence[Any]) -> Any:
        return evaluate(prepared.search.builder, spec, questions, objectives).optimised

    best = {
        label: max(cuts, key=lambda cut, cuts=cuts: float(np.nanmean(scored(cuts[cut], prepared.search.questions))))
        for label, cuts in built.items()
    }
    shared = [cut for cut in built["MiniLM"] if all(cut in cuts for cuts in built.values())]
    rows = []
    what = f"{name}: {objectives.optimised.kind} of vectors alone, {'10 documents' if documents else '1,000 tokens'}"
    for chosen, where in ((dict.fromkeys(built, shared[0]) if shared else {}, "one chunking"), (best, "its best")):
        columns = {label: scored(built[label][cut], prepared.held_out) for label, cut in chosen.items()}
        for label, column in columns.items():
            said = _compared(column, columns["MiniLM"], prepared.split.held_out_units, alone=label == "MiniLM")
            rows.append((f"{what}, {where}: {label}", f"{said}; {chosen[label]} of {len(built[label])}", ""))
    return rows


def _compared(ours: Any, theirs: Any, units: Sequence[str], *, alone: bool) -> str:
    from rag_opt.evaluation.intervals import mean_interval, paired_gain

    mean, gain = mean_interval(ours, units), paired_gain(ours, theirs, units)
    said = f"{mean.mean * 100:.1f} [{mean.low * 100:.1f}, {mean.high * 100:.1f}]"
    return said if alone else f"{said}; over MiniLM {_points(gain)}"


def _points(interval: Any) -> str:
    return f"{interval.mean * 100:+.1f} [{interval.low * 100:+.1f}, {interval.high * 100:+.1f}]"
