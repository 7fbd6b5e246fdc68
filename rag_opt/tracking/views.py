"""Saved views of an experiment: a study's trials by value, and as charts; with the addresses that open them.

The tag and its keys are what MLflow's page writes when a person shares a view (MLflow 3.17).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from rag_opt.core.strict import PlainDict
from rag_opt.tracking.names import legal_name

VIEWS = "views.json"  # in the folder of a study
TAG = "mlflow.sharedViewState."
VALUE, TOKENS, SECONDS = "objective/value", "cost/context_tokens", "cost/seconds"
_MOST_AXES = 8


def view_key(uid: str) -> str:
    """Return what tells the views of a study from those of all others; `uid` of the study."""
    return uid[:12]


@dataclass(frozen=True)
class Views:
    """The two views of one study. `key`: what tells them from those of other studies in the experiment.

    `params`: names of what was searched, that of the slots first. `ascending`: whether lower values are better.
    """

    key: str
    study: str
    params: Sequence[str]
    slots: Sequence[str]
    ascending: bool

    def tags(self) -> dict[str, str]:
        """Return the tags of the experiment that keep the views."""
        now = int(time.time() * 1000)
        tags = {}
        for name, title, more in (
            ("table", f"{self.study}: trials by value", {}),
            ("charts", f"{self.study}: charts", self._charts()),
        ):
            state = orjson.dumps({**self._state(), **more}).decode()
            view = {"name": title, "createdAt": now, "updatedAt": now, "state": state}
            tags[f"{TAG}{self.key}-{name}"] = orjson.dumps(view).decode()
        return tags

    def addresses(self, experiment: str) -> dict[str, str]:
        """Return what follows the server's address to open each view."""
        base = f"#/experiments/{experiment}/runs?viewStateShareKey={self.key}"
        return {
            "table": f"{base}-table&workflowType=machine_learning",
            "charts": f"{base}-charts&workflowType=machine_learning&compareRunsMode=CHART",
        }

    def _state(self) -> PlainDict:
        columns = [
            *(f"metrics.`{name}`" for name in (VALUE, TOKENS, SECONDS)),
            *(f"params.`{n}`" for n in self._names()),
        ]
        return {
            "searchFilter": f"tags.`rag_opt.study` = '{self.study}' AND tags.`rag_opt.role` = 'trial'",
            "orderByKey": f"metrics.`{VALUE}`",
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": ["attributes.`Run Name`", *columns],
            "runsHiddenMode": "SHOW_ALL",
            "isAccordionReordered": True,
        }

    def _names(self) -> list[str]:
        return [legal_name(name) for name in self.params]

    def _charts(self) -> PlainDict:
        """Return parallel coordinates of the slots and the value first, then value against costs."""
        section = self._id("section")
        common = {"deleted": False, "isGenerated": False, "metricSectionId": section}
        parallel = {
            **common,
            "uuid": self._id("parallel"),
            "type": "PARALLEL",
            "runsCountToCompare": 100,
            "selectedParams": [legal_name(name) for name in self.slots][:_MOST_AXES],
            "selectedMetrics": [VALUE],
        }
        scatters = [
            {
                **common,
                "uuid": self._id(cost),
                "type": "SCATTER",
                "runsCountToCompare": 500,
                "xaxis": {"type": "METRIC", "key": cost},
                "yaxis": {"type": "METRIC", "key": VALUE},
            }
            for cost in (TOKENS, SECONDS)
        ]
        bars = {**common, "uuid": self._id("bar"), "type": "BAR", "runsCountToCompare": 20, "metricKey": VALUE}
        shown = {"uuid": section, "name": self.study, "display": True, "isReordered": False}
        shown |= {"columns": 2, "cardHeight": 400}
        return {"compareRunSections": [shown], "compareRunCharts": [parallel, *scatters, bars]}

    def _id(self, name: str) -> str:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{self.key}/{name}").hex
