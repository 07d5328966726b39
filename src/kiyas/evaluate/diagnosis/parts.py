"""The findings, one function each: measured values, what they mean, and which measures they concern."""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.evaluate.contenders import UNIT_NORM_NOTE, UNIT_TOLERANCE
from kiyas.evaluate.diagnosis import neighbours as near
from kiyas.evaluate.diagnosis import spectrum
from kiyas.evaluate.diagnosis.finding import Finding, Plot
from kiyas.evaluate.diagnosis.neighbours import Hubness, Neighbours
from kiyas.evaluate.diagnosis.spectrum import Moments
from kiyas.metrics import spearman


def unit_norm(norms: np.ndarray, query_norms: np.ndarray | None) -> Finding:
    """Whether all lengths are 1."""
    every = norms if query_norms is None else np.concatenate([norms, query_norms])
    most = float(np.abs(every - 1).max())
    unit = most <= UNIT_TOLERANCE
    constant = float(norms.std()) <= UNIT_TOLERANCE * max(float(norms.mean()), 1e-300)
    here = f"All lengths are 1 (to {most:.1g})." if unit else \
        f"All documents have one length, {norms.mean():.4g}." if constant else "Lengths vary."
    if unit:
        effect = UNIT_NORM_NOTE
    elif constant:
        effect = "For a given query every inner measure is an increasing function of A·B alone: they rank alike."
    else:
        effect = ("Angular ranks as cosine, and dice as tanimoto, always. The other inner measures rank differently "
                  "here, by how much they listen to lengths.")
    return Finding("unit_norm", "Unit length", {"unit": unit, "constant": constant, "largest_deviation": most},
                   "max |‖x‖ − 1| ≤ 1e-5", "Many models end with a step that makes every vector's length 1. Lengths "
                   "then carry nothing, and measures that differ only in how they treat lengths cannot differ.",
                   here, effect, "note" if unit or constant else "fine",
                   Plot("histogram", {"documents": norms - 1} | ({} if query_norms is None else
                                                                 {"queries": query_norms - 1}), "‖x‖ − 1"))


def norms(lengths: np.ndarray, query_norms: np.ndarray | None) -> Finding:
    """How lengths are spread, and those of queries against those of documents."""
    mean = float(lengths.mean())
    cv = float(lengths.std() / mean) if mean else 0.0
    values: dict[str, Any] = {"mean": mean, "median": float(np.median(lengths)), "least": float(lengths.min()),
                              "most": float(lengths.max()), "coefficient_of_variation": cv,
                              "zeros": int((lengths == 0).sum())}
    series = {"documents": lengths}
    here = f"Lengths from {lengths.min():.3g} to {lengths.max():.3g}, {mean:.3g} on average, spread {100 * cv:.0f} %."
    ratio = None
    if query_norms is not None and np.median(lengths) > 0:
        ratio = float(np.median(query_norms) / np.median(lengths))
        values["query_document_ratio"] = ratio
        series["queries"] = query_norms
        here += f" A query is {ratio:.2f} times as long as a document."
    a, b = float(np.median(query_norms if query_norms is not None else lengths)), float(np.median(lengths))
    pull = elasticities(a, b)
    values["elasticity"] = pull
    effect = ("How many percent a score rises when the document gets 1 % longer, all else equal: "
              + ", ".join(f"{name} {value:.2f}" for name, value in pull.items()) + ". 0 ranks as cosine, 1 as dot.")
    if values["zeros"]:
        here += (f" {values['zeros']:,} documents have length 0 and no direction." if values["zeros"] > 1 else
                 " 1 document has length 0 and no direction.")
    if ratio is not None and ratio > 1.5:
        effect += (" Queries are longer than documents, so ndd acts like dot; give it a query length: "
                   f"ndd(query_norm={b:.3g}).")
    concern = "care" if values["zeros"] or (ratio is not None and not 0.67 < ratio < 1.5) else \
        "note" if cv > 0.05 else "fine"
    return Finding("norms", "Lengths of vectors", values, "‖x‖; spread = standard deviation / mean; elasticity "
                   "∂ln s/∂ln b: cosine 0, dot 1, ndd a²/(a²+b²), log_scaled 1 − x/((1+x)·ln(1+x)) with x = ab",
                   "A measure that listens to lengths ranks long vectors higher. That helps only where length means "
                   "relevance.", here, effect, concern, Plot("histogram", series, "length of the vector"))


def elasticities(a: float, b: float) -> dict[str, float]:
    """∂ln s/∂ln b at the typical lengths a (query) and b (document)."""
    x = a * b
    log = 1 - x / ((1 + x) * np.log1p(x)) if x > 0 else 0.0
    ndd = a * a / (a * a + b * b) if a or b else 0.0
    return {"cosine": 0.0, "tempered_cosine": 0.5, "ndd": float(ndd), "log_scaled": float(log), "dot": 1.0}


def norm_and_text(lengths: np.ndarray, characters: np.ndarray) -> Finding:
    """Whether long texts have short vectors."""
    rho = spearman(lengths, characters)
    strong = abs(rho) > 0.3
    here = f"Spearman {rho:+.2f} between a vector's length and its text's." + (
        f" {'Longer' if rho > 0 else 'Shorter'} texts have longer vectors." if strong else "")
    favoured = "long" if rho > 0 else "short"
    return Finding("norm_and_text", "Length of vector and length of text", {"spearman": rho},
                   "Spearman(‖x‖, characters)", "Mean pooling averages the tokens' vectors: E‖mean of L‖² ≈ ‖μ‖² + "
                   "σ²/L, so a long text has a short vector, whatever it says.", here,
                   f"dot, ndd, log_scaled, hybrid and tempered_cosine favour {favoured} texts here." if strong else
                   "No measure favours texts by their length through the norm.", "care" if strong else "fine",
                   Plot("points", {"texts": (characters, lengths)}, "characters of the text", "length of the vector",
                        log_x=True))


def norm_and_relevance(lengths: np.ndarray, relevant: np.ndarray) -> Finding:
    """Whether documents that answer are longer or shorter; ``relevant`` (n,): of how many queries."""
    rho = spearman(lengths, relevant)
    some, none = lengths[relevant > 0], lengths[relevant == 0]
    shift = float((some.mean() - lengths.mean()) / lengths.std()) if some.size and lengths.std() > 0 else 0.0
    here = (f"Spearman {rho:+.2f} between a document's length and how many queries it answers; relevant documents are "
            f"{shift:+.2f} standard deviations from the mean length.")
    strong = abs(shift) > 0.2
    effect = ("Lengths carry relevance: " + ("dot-like measures may gain" if shift > 0 else "dot-like measures lose") +
              "; see kiyas evaluate.") if strong else "Lengths carry little relevance: expect nothing from listening."
    return Finding("norm_and_relevance", "Length of vector and relevance", {"spearman": rho, "shift": shift},
                   "Spearman(‖x‖, number of queries that x answers); shift = (mean of relevant − mean)/deviation",
                   "Where relevant documents have longer vectors, a measure that prefers long ones gains.",
                   here, effect, "note" if strong else "fine",
                   Plot("histogram", {"relevant": some, "others": none}, "length of the vector")
                   if some.size and none.size else None)


def direction(held: Moments, cosines: np.ndarray) -> Finding:
    """Whether all rows point the same way."""
    value = spectrum.anisotropy(held)
    concern = "care" if value > 0.6 else "note" if value > 0.25 else "fine"
    return Finding("anisotropy", "Anisotropy", {"mean_cosine": value},
                   "mean cosine of two different documents = (n‖ū‖² − 1)/(n − 1), ū the mean of the unit vectors",
                   "0: directions are spread evenly. Near 1: everything is like everything, and scores live in a "
                   "narrow band.", f"Two documents have a cosine of {value:.3f} on average.",
                   ("Cosine's values say little by themselves: a threshold of 0.7 means something else in every model. "
                    "Centring (mahalanobis, or a linear_map with a centre) changes rankings; measure whether it helps.")
                   if concern != "fine" else "No measure is in danger from this.", concern,
                   Plot("histogram", {"pairs": cosines}, "cosine of two random documents"))


def spread(held: Moments) -> Finding:
    """Over how many directions the variance is spread."""
    d = held.eigenvalues.size
    pr, rank, effective = spectrum.participation_ratio(held), spectrum.rank(held), spectrum.effective_rank(held)
    values = {"participation_ratio": pr, "isoscore": spectrum.isoscore(held), "effective_rank": effective, "rank": rank,
              "dims": d}
    share = np.cumsum(held.eigenvalues) / max(float(held.eigenvalues.sum()), 1e-300)
    low = rank < d
    effect = (f"The covariance has rank {rank} of {d}: its plain inverse is rounding noise. mahalanobis drops what is "
              "below its cutoff; a naive inverse would not. ") if low else ""
    if held.rows <= d:
        effect += f"{held.rows:,} rows for {d} dimensions: no covariance can be known from so few. "
    effect += ("Whitening (mahalanobis) gives every direction the same weight, the many weak ones too: on embeddings "
               "trained by contrast it usually loses." if pr < 0.5 * d else "Whitening would change little.")
    return Finding("spread", "Effective dimensions", values,
                   "λ: eigenvalues of the covariance. Participation ratio (Σλ)²/Σλ²; IsoScore = (PR − 1)/(D − 1); "
                   "effective rank exp(−Σp·ln p), p = λ/Σλ; rank: λ > 1e-6·λ₁",
                   "Of all dimensions, how many carry variance. IsoScore is the participation ratio from 0 to 1.",
                   f"{pr:.0f} (participation ratio) to {effective:.0f} (effective rank) of {d} dimensions; IsoScore "
                   f"{values['isoscore']:.3f}.", effect, "care" if low or held.rows <= d else "fine",
                   Plot("lines", {"variance": (np.arange(1, d + 1), share)}, "directions, largest first",
                        "share of the variance"))


def dimensions(held: Moments, queries: np.ndarray | None) -> Finding:
    """Dimensions that carry nothing, and those that rule."""
    dead, shares = spectrum.dead_dimensions(held), spectrum.direction_shares(held)
    top = np.argsort(-shares, kind="stable")[:5]
    variance = held.deviation**2 / max(float((held.deviation**2).sum()), 1e-300)
    rogue = np.flatnonzero((shares > 0.1) | (variance > 0.1)) if shares.size > 20 else np.empty(0, np.int64)
    values: dict[str, Any] = {"dead": dead, "rogue": rogue, "largest_share_of_mean_cosine": float(shares[top[0]]),
                              "largest_share_of_variance": float(variance.max())}
    here = (f"{dead.size} dead dimensions" + (f" ({', '.join(map(str, dead[:8]))}{', …' if dead.size > 8 else ''})"
                                              if dead.size else "")
            + f". The strongest, {top[0]}, has {100 * shares[top[0]]:.1f} % of the mean cosine; the most varied "
            f"{100 * variance.max():.1f} % of the variance.")
    if rogue.size:
        here += f" Rogue: {', '.join(map(str, rogue))}."
    effect = []
    if dead.size:
        effect.append("gower divides by ranges and mahalanobis by variances: both drop dead dimensions here; a naive "
                      "version would give them the most weight.")
    if rogue.size:
        effect.append("A few dimensions rule cosine and euclidean; per-dimension measures (gower, exponential with "
                      "fitted bandwidths) or a centred linear_map weigh all alike.")
    if queries is not None:
        outside = float(((queries < held.low) | (queries > held.high)).mean())
        values["query_coordinates_outside"] = outside
        here += f" {100 * outside:.1f} % of the queries' coordinates lie outside the documents' ranges."
        if outside > 0.01:
            effect.append("gower without clip=True gives such coordinates scores below 0.")
    noted = dead.size > 0 or values.get("query_coordinates_outside", 0) > 0.01
    concern = "care" if rogue.size else "note" if noted else "fine"
    return Finding("dimensions", "Dead and rogue dimensions", values,
                   "dead: deviation < median/1000; rogue: more than 10 % of ‖ū‖² (hence of the mean cosine) or of the "
                   "variance", "A dead dimension is the same number in every vector. A rogue one (Timkey & van "
                   "Schijndel 2021) drowns the others in every product.", here, " ".join(effect) or "No measure is in "
                   "danger from this.", concern,
                   Plot("lines", {"deviation": (np.arange(1, held.deviation.size + 1), np.sort(held.deviation)[::-1])},
                        "dimensions, most varied first", "standard deviation"))


def intrinsic(found: Neighbours) -> Finding:
    """How many numbers it would take to say where a document is."""
    by_two, ratios = near.two_nn(found)
    by_many = near.levina_bickel(found)
    kept = ratios[:max(1, int(0.9 * ratios.size))]
    rank = np.arange(1, kept.size + 1) / ratios.size if ratios.size else np.ones(1)
    here = (f"About {by_two:.0f} (TwoNN) or {by_many:.0f} (maximum likelihood)." if np.isfinite(by_two) else
            "Too few different documents to tell.")
    effect, concern = ("Nothing can be said of any measure.", "note") if not np.isfinite(by_two) else (
        "Above about 20 distances concentrate and hubs appear under every measure; see below.", "note"
    ) if by_two > 20 else ("No measure is in danger from this.", "fine")
    return Finding("intrinsic_dimension", "Intrinsic dimension", {"two_nn": by_two, "maximum_likelihood": by_many},
                   "TwoNN: D = (N − 1)/Σ ln(r₂/r₁); maximum likelihood over k = 20 neighbours: D⁻¹ = mean ln(r_k/r_j)",
                   "How many directions one can move in from a typical document, whatever the number of coordinates. "
                   "Low values make neighbours meaningful and codes tight.", here, effect, concern,
                   Plot("points", {"documents": (np.log(kept), -np.log1p(-rank * (1 - 1e-9)))}, "ln(r₂/r₁)",
                        "−ln(1 − rank/N): a line of slope D") if ratios.size else None)


def hubs(from_documents: Hubness, from_queries: Hubness | None, measure: str) -> Finding:
    """Whether a few documents are everyone's neighbours."""
    values: dict[str, Any] = {"skewness": from_documents.skewness, "robin_hood": from_documents.robin_hood,
                              "never_found": from_documents.never, "largest": from_documents.largest}
    here = (f"Among documents: skewness {from_documents.skewness:.2f}, {100 * from_documents.never:.0f} % are nobody's "
            f"neighbour, one is among the first ten of {from_documents.largest:,}.")
    series = {"from documents": from_documents.counts.astype(float)}
    worst = from_documents.skewness
    if from_queries is not None:
        values["from_queries"] = {"skewness": from_queries.skewness, "never_found": from_queries.never,
                                  "largest": from_queries.largest, "robin_hood": from_queries.robin_hood}
        here += (f" From the queries: skewness {from_queries.skewness:.2f}, one document is among the first ten of "
                 f"{from_queries.largest:,} queries.")
        series["from queries"] = from_queries.counts.astype(float)
        worst = max(worst, from_queries.skewness)
    concern = "care" if worst > 3 else "note" if worst > 1.4 else "fine"
    return Finding("hubness", "Hubs", values, "N₁₀(x): how many have x among their first 10; skewness of N₁₀ = "
                   "mean((N − N̄)³)/σ³; Robin Hood index Σ|N − N̄|/(2ΣN)",
                   f"In high dimensions some points come near to everything (here under {measure}). A hub is an answer "
                   "to questions it has nothing to do with. Some skewness comes with relevance itself.", here,
                   "csls and local_scaling correct for hubs; whether that finds more must be measured: it helps on "
                   "some collections and hurts on others." if concern != "fine" else "Nothing to correct.", concern,
                   Plot("histogram", series, "how often a document is among the first ten"))


def concentration(found: Neighbours, distances: np.ndarray) -> Finding:
    """Whether the nearest is any nearer than the rest."""
    cv, ratio = near.contrast(found, distances)
    tight = cv < 0.1
    return Finding("concentration", "Concentration of distances", {"coefficient_of_variation": cv, "contrast": ratio},
                   "standard deviation / mean of the distances of random pairs; contrast = their mean / median nearest "
                   "distance", "In high dimensions all distances become alike. Contrast says how much nearer the "
                   "nearest is. A higher contrast does not mean better answers (Mirkes et al. 2020).",
                   f"Distances vary by {100 * cv:.0f} %; a random document is {ratio:.2f} times as far as the nearest.",
                   "Bounds prune little: exact search looks at more rows." if tight else "No measure is in danger from "
                   "this.", "note" if tight else "fine",
                   Plot("histogram", {"random pairs": distances, "nearest": found.distances[:, 0]},
                        "Euclidean distance"))


def coordinates(deltas: np.ndarray) -> Finding:
    """How far single coordinates lie apart, which is the unit that per-dimension measures think in."""
    typical = float(np.median(deltas))
    flat = typical < 0.2
    high = float(np.quantile(deltas, 0.9))
    return Finding("coordinates", "Differences of coordinates", {"median": typical, "high": high},
                   "|xᵢ − yᵢ| of random pairs and dimensions", "Thresholds and bandwidths are in this unit.",
                   f"Half of all coordinate differences are below {typical:.3g}, nine of ten below "
                   f"{high:.3g}.",
                   (f"exponential with bandwidth 1 is all but manhattan here, as e^(−δ) ≈ 1 − δ; a bandwidth near "
                    f"{typical:.2g} tells near from far. A threshold or tier of 0.5 would call all alike.")
                   if flat else f"A bandwidth near {typical:.2g} suits exponential.", "note" if flat else "fine",
                   Plot("histogram", {"pairs": deltas}, "difference of a coordinate"))


def score_and_length(rho: dict[str, np.ndarray]) -> Finding:
    """Whether a measure prefers short or long texts; ``rho``: {measure: Spearman(score, characters) of each query}."""
    values = {name: float(np.nanmean(each)) for name, each in rho.items()}
    strong = {name: v for name, v in values.items() if abs(v) > 0.1}
    here = ", ".join(f"{name} {v:+.2f}" for name, v in values.items()) + "."
    effect = "; ".join(f"{name} prefers {'long' if v > 0 else 'short'} texts" for name, v in strong.items())
    return Finding("score_and_length", "Score and length of text", values,
                   "mean over queries of Spearman(score, characters)",
                   "The mean of many tokens lies nearer to the middle of the space, so long texts score alike whatever "
                   "they say. Split long texts into passages (--passage-tokens).", here,
                   f"{effect}. Split long texts, or measure tempered_cosine." if strong else
                   "No measure has a preference worth a thought.", "note" if strong else "fine",
                   Plot("histogram", rho, "Spearman(score, characters) of a query"))


def duplicates(exact: int, found: Neighbours, rows: int, scale: float) -> Finding:
    """Rows that are there twice."""
    near_same = int((found.distances[:, 0] <= 1e-3 * scale).sum())
    some = exact > 0 or near_same > 0
    return Finding("duplicates", "Duplicates", {"exact": exact, "nearly": near_same},
                   "exact: equal bit for bit to an earlier row; nearly: nearest below 1/1000 of the mean distance",
                   "A text that is there twice takes two places among the answers, and a known item cannot be told "
                   "from its copy.", f"{exact:,} of {rows:,} documents repeat an earlier one; {near_same:,} have one "
                   "that is all but the same.",
                   "Ties are ranked by row under every measure. Leave copies out before evaluating." if some else
                   "Nothing is there twice.", "note" if some else "fine",
                   Plot("histogram", {"documents": found.distances[:, 0] / (scale or 1.0)},
                        "nearest distance, in units of the mean distance"))


def agreement(overlap: dict[str, float], left_out: dict[str, str]) -> Finding:
    """How much each measure changes the first ten; ``overlap``: {measure: mean share of cosine's first ten}.

    ``left_out``: measures that cannot run on these vectors, and why.
    """
    same = [name for name, v in overlap.items() if v > 0.9999]
    far = [name for name, v in overlap.items() if v < 0.5]
    here = (f"The same first ten as cosine's, in whatever order: {', '.join(same)}." if same else
            "No measure has the same first ten as cosine.") + (
        f" Fewer than half of the first ten in common: {', '.join(far)}." if far else "")
    here += "".join(f" {name} cannot run here: {why}." for name, why in left_out.items())
    order = sorted(overlap.items(), key=lambda item: -item[1])
    return Finding("agreement", "What changes with the measure", dict(order),
                   "mean share of cosine's first ten answers that are among the measure's first ten",
                   "Where a measure gives the same answers there is nothing to choose. Different is not better: only "
                   "judgements tell.", here, "Compare those that differ with kiyas evaluate.", "fine",
                   Plot("bars", dict(order), "share of cosine's first ten"))
