"""Exact top-k under any measure: candidates by proven bounds, exact scores, hits."""

from kiyas.search.explain import Explanation
from kiyas.search.hits import Hits
from kiyas.search.index import Index

__all__ = ["Explanation", "Hits", "Index"]
