"""Everything that is registered by being imported: parts, datasets, samplers and plug-ins."""

from __future__ import annotations

from collections.abc import Sequence

from rag_opt.core.registry import load_parts


def load_built_in(plugins: Sequence[str] = ()) -> None:
    """Make every built-in part, reader and sampler known, and those of the named packages."""
    import rag_opt.data.datasets.autorag
    import rag_opt.data.datasets.beir
    import rag_opt.data.datasets.csv_spans
    import rag_opt.data.datasets.folder
    import rag_opt.data.datasets.hub
    import rag_opt.data.datasets.logs
    import rag_opt.data.datasets.python_reference
    import rag_opt.data.datasets.ragas_testset
    import rag_opt.data.datasets.squad
    import rag_opt.study.samplers.cost_aware
    import rag_opt.study.samplers.interfaces  # noqa: F401  # readers and samplers register when imported

    load_parts(plugins)
