"""Measures made for a collection: fitted maps, closed forms, saved measures (docs/fitting.md), similarities learned
from pairs (docs/learned-similarity.md); hierarchies in the ball (docs/hyperbolic.md).
"""

from kiyas.fit.closed import bandwidths, critical_dimensions, norm_calibrated, weights, whitening
from kiyas.fit.files import is_measure, load_measure, save_measure
from kiyas.fit.hierarchy import Hierarchy, Reconstruction, read_hierarchy, reconstruction
from kiyas.fit.learned import LearnedFit, learn_adapter, learn_similarity
from kiyas.fit.maps import Fitted, fit_judged, fit_own
from kiyas.fit.pairs import Pairs, TextPairs, judged_pairs, text_pairs
from kiyas.fit.poincare import EmbeddingPlan, embed_hierarchy
from kiyas.fit.relevance import SHRINKAGES, relevance_map
from kiyas.fit.reranker import Reranker, learn_reranker
from kiyas.fit.training import Trained, TrainingPlan

__all__ = [
    "SHRINKAGES", "EmbeddingPlan", "Fitted", "Hierarchy", "LearnedFit", "Pairs", "Reconstruction", "Reranker",
    "TextPairs", "Trained", "TrainingPlan", "bandwidths", "critical_dimensions", "embed_hierarchy", "fit_judged",
    "fit_own", "is_measure", "judged_pairs", "learn_adapter", "learn_reranker", "learn_similarity", "load_measure",
    "norm_calibrated", "read_hierarchy", "reconstruction", "relevance_map", "save_measure", "text_pairs", "weights",
    "whitening",
]
