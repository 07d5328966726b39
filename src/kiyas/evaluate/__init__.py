"""What a measure is worth: significance, evaluation, diagnosis. See docs/evaluating.md and docs/diagnosing.md."""

from kiyas.evaluate.choosing import Decision, choose, choose_known
from kiyas.evaluate.contenders import LEFT_OUT, Contender, contenders, have_unit_norm
from kiyas.evaluate.evaluation import (
    KNOWN_ITEM_METRICS,
    METRICS,
    Evaluation,
    Result,
    evaluate_measures,
    evaluate_rankings,
)
from kiyas.evaluate.grouping import Groups, group_queries
from kiyas.evaluate.judgements import Judgements, Matched, match, read_judgements
from kiyas.evaluate.pairs import PairEvaluation, PairResult, Pairs, evaluate_pairs, read_pairs
from kiyas.evaluate.purposes import PURPOSES, Advice, advise
from kiyas.evaluate.queries import Queries, read_ids, read_queries
from kiyas.evaluate.rankings import Ranking, rank_alike, rank_collection
from kiyas.evaluate.runs import Run, ranking_of, read_run, write_run
from kiyas.evaluate.significance import (
    Comparison,
    compare,
    compare_all,
    detectable_difference,
    effect_size,
    holm,
    sign_flip_test,
)
from kiyas.evaluate.tables import Table

__all__ = [
    "KNOWN_ITEM_METRICS", "LEFT_OUT", "METRICS", "PURPOSES", "Advice", "Comparison", "Contender", "Decision",
    "Evaluation", "Groups", "Judgements", "Matched", "PairEvaluation", "PairResult", "Pairs", "Queries", "Ranking",
    "Result", "Run", "Table", "advise", "choose", "choose_known", "compare", "compare_all", "contenders",
    "detectable_difference", "effect_size", "evaluate_measures", "evaluate_pairs", "evaluate_rankings", "group_queries",
    "have_unit_norm", "holm", "match", "rank_alike", "rank_collection", "ranking_of", "read_ids", "read_judgements",
    "read_pairs", "read_queries", "read_run", "sign_flip_test", "write_run",
]
