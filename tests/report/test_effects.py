"""Effects of choices: those that were put in come out, whatever else varies beside them."""

from __future__ import annotations

import numpy as np

from rag_opt.report.effects import measure_effects


def test_effects_that_were_put_in_come_out_with_intervals_that_hold_them() -> None:
    random = np.random.default_rng(3)
    gains = {"rrf": 0.10, "dense": 0.0}
    parameters, values, difficulty = [], [], random.normal(0.5, 0.3, 200)
    for _ in range(40):
        kind = str(random.choice(["rrf", "dense"]))
        chosen: dict[str, int | str] = {"retriever": kind, "chunker.size": int(random.choice([96, 224]))}
        if kind == "rrf":
            chosen["retriever.rrf.k"] = int(random.choice([10, 60]))
        parameters.append(chosen)
        gain = gains[kind] + (0.04 if chosen["chunker.size"] == 224 else 0.0)
        values.append(difficulty + gain + random.normal(0, 0.05, 200))
    effects = measure_effects(parameters, np.array(values), [f"q{i}" for i in range(200)])
    assert [effect.path for effect in effects] == ["retriever", "chunker.size", "retriever.rrf.k"]
    by_path = {effect.path: {level.name: level for level in effect.levels} for effect in effects}
    assert abs(effects[0].size - 0.05) < 0.01 and abs(effects[1].size - 0.02) < 0.005
    assert by_path["chunker.size"]["224"].low > 0 > by_path["chunker.size"]["96"].high
    assert abs(by_path["retriever.rrf.k"]["10"].gain) < 0.01
    assert sum(level.trials for level in effects[0].levels) == 40
    assert [level.name for level in effects[1].levels] == ["96", "224"]


def test_many_numbers_are_put_together_and_few_trials_say_nothing() -> None:
    random = np.random.default_rng(1)
    parameters = [{"top_k": i % 12 + 1} for i in range(36)]
    values = np.array([[0.5 + 0.02 * (i % 12) + random.normal(0, 0.01) for _ in range(30)] for i in range(36)])
    (effect,) = measure_effects(parameters, values, [str(i) for i in range(30)])
    assert [level.name for level in effect.levels] == ["1–4", "4–7", "7–9", "9–12"]
    assert [level.gain for level in effect.levels] == sorted(level.gain for level in effect.levels)
    assert measure_effects(parameters[:5], values[:5], [str(i) for i in range(30)]) == []
