"""What similarity is: formulas on array-API arrays, with their facts; no kernels, no files."""

from kiyas.measures.attention import attention, attention_reference
from kiyas.measures.balls import Poincare, exp_map, scale_into_ball
from kiyas.measures.base import Facts, KernelForm, Measure, describe
from kiyas.measures.catalogue import (
    ALIASES,
    from_state,
    list_measures,
    measure,
    measure_class,
    parameter_names,
    to_state,
)
from kiyas.measures.coordinate import CoordinateMeasure, Quantile
from kiyas.measures.covariance import Covariance
from kiyas.measures.hubness import CSLS, LocalScaling
from kiyas.measures.inner import (
    NDD,
    Angular,
    Cosine,
    Dice,
    Dot,
    Euclidean,
    Hybrid,
    InnerMeasure,
    LogScaled,
    Tanimoto,
    TemperedCosine,
)
from kiyas.measures.learned import Learned
from kiyas.measures.linear import LinearMap, Mahalanobis
from kiyas.measures.profiles import Exponential, Gower, Manhattan
from kiyas.measures.proposals import propose_critical, propose_weights
from kiyas.measures.reductions import Reduction, reduce
from kiyas.measures.user import UserCoordinate, UserInner, UserPair, user_measure

__all__ = [
    "ALIASES", "CSLS", "NDD", "Angular", "CoordinateMeasure", "Cosine", "Covariance", "Dice", "Dot", "Euclidean",
    "Exponential", "Facts", "Gower", "Hybrid", "InnerMeasure", "KernelForm", "Learned", "LinearMap", "LocalScaling",
    "LogScaled", "Mahalanobis", "Manhattan", "Measure", "Poincare", "Quantile", "Reduction", "Tanimoto",
    "TemperedCosine", "UserCoordinate", "UserInner", "UserPair", "attention", "attention_reference", "describe",
    "exp_map", "from_state", "list_measures", "measure", "measure_class", "parameter_names", "propose_critical",
    "propose_weights", "reduce", "scale_into_ball", "to_state", "user_measure",
]
