"""What a measure is worth: significance, evaluation, diagnosis. See docs/evaluating.md and docs/diagnosing.md."""

from kiyas.evaluate.judgements import Judgements, Matched, match, read_judgements
from kiyas.evaluate.queries import Queries, read_ids, read_queries
from kiyas.evaluate.significance import (
    Comparison,
    compare,
    compare_all,
    detectable_difference,
    effect_size,
    holm,
    sign_flip_test,
)

__all__ = [
    "Comparison", "Judgements", "Matched", "Queries", "compare", "compare_all", "detectable_difference", "effect_size",
    "holm", "match", "read_ids", "read_judgements", "read_queries", "sign_flip_test",
]
