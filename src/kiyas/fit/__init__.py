"""Measures made for a collection: fitted maps, closed forms, saved measures. See docs/fitting.md."""

from kiyas.fit.closed import bandwidths, critical_dimensions, norm_calibrated, weights, whitening
from kiyas.fit.files import is_measure, load_measure, save_measure
from kiyas.fit.maps import Fitted, fit_judged, fit_own
from kiyas.fit.pairs import Pairs, TextPairs, judged_pairs, text_pairs
from kiyas.fit.relevance import SHRINKAGES, relevance_map

__all__ = [
    "SHRINKAGES", "Fitted", "Pairs", "TextPairs", "bandwidths", "critical_dimensions", "fit_judged", "fit_own",
    "is_measure", "judged_pairs", "load_measure", "norm_calibrated", "relevance_map", "save_measure", "text_pairs",
    "weights", "whitening",
]
