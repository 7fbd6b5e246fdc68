"""Asking the cost-aware sampler for the next pipeline of the default space, with 300 finished trials."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.registry import load_parts
from rag_opt.data.datasets.python_reference import PythonReference
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec, spec_digest
from rag_opt.store.artifacts import Store
from rag_opt.study.cost.forecaster import CostForecaster
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, to_frozen_trial

_TRIALS = 300


def measure() -> list[tuple[str, str, str]]:
    load_parts()
    pipeline, small = (yaml.safe_load((conf_folder() / name).read_text()) for name in _CONFIGS)
    space = Space.from_dict(small, rest=pipeline, only={})
    data, random = PythonReference().read(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        builder = PipelineBuilder(data.corpus, store, embedder_card_library([conf_folder()]))
        cost_forecaster = CostForecaster(builder, space, data.questions, PipelineSpec.from_dict(pipeline))
        study, trials = optuna.create_study(direction="maximize"), list[Trial]()
        for number in range(_TRIALS):
            spec = PipelineSpec.from_dict(space.draw(random)).to_dict()
            made = {"search chroma": (153.0, float(random.uniform(0.5, 1.5)))}
            trials.append(Trial(number, "COMPLETE", spec, "sampler", value=float(random.uniform()), made=made))
            study.add_trial(to_frozen_trial(trials[-1], space))
        seen, times = {spec_digest(trial.spec) for trial in trials}, []
        for seed in range(12):
            started = time.perf_counter()
            cost_forecast = cost_forecaster.cost_forecast(trials, spent=0.5, paid="study")
            proposal = CostAware().propose(space, study, seed=seed, tried_digests=seen, cost_forecast=cost_forecast)
            times.append(time.perf_counter() - started)
            if proposal is not None and proposal.trial is not None:
                study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
        builder.close()
        store.close()
    what = f"asking cost_aware, {_TRIALS} finished trials of the default space, median of {len(times) - 2}"
    return [(what, f"{statistics.median(times[2:]):.2f} s (slowest {max(times[2:]):.2f} s)", "0.3 s")]


_CONFIGS = ("pipeline/default.yaml", "space/small.yaml")
