"""Where EN and LOC live, and how languages come together, as numbers with uncertainty.

cosine.py       angle of EN and LOC by layer
directions.py   its interval, null, reliability
convergence.py  PCA, centroids, silhouette
similarity.py   CKA and cross-lingual retrieval
lens.py         which language the model thinks in
probes.py       what a linear probe reads
subspaces.py    more than one direction, principal angles

Everything here takes tensors or `mechcla.vectors.residuals.Residuals` and returns frozen results
that echo their settings.
"""

from mechcla.geometry.convergence import Projection, convergence, project
from mechcla.geometry.cosine import (
    cosine_by_layer,
    perpendicularity_by_layer,
    random_perpendicularity,
)
from mechcla.geometry.curve import Curve
from mechcla.geometry.directions import (
    SharedDirections,
    across_languages,
    perpendicularity,
    reliability,
    without_common,
)
from mechcla.geometry.similarity import (
    Retrieval,
    cka_with_english,
    linear_cka,
    retrieval,
    retrieval_of_english,
)
from mechcla.geometry.subspaces import (
    SubspaceAngles,
    principal_angles,
    subspace_angles,
)
from mechcla.vectors.residuals import top_directions

__all__ = [
    "Curve",
    "Projection",
    "Retrieval",
    "SharedDirections",
    "SubspaceAngles",
    "across_languages",
    "cka_with_english",
    "convergence",
    "cosine_by_layer",
    "linear_cka",
    "perpendicularity",
    "perpendicularity_by_layer",
    "principal_angles",
    "project",
    "random_perpendicularity",
    "reliability",
    "retrieval",
    "retrieval_of_english",
    "subspace_angles",
    "top_directions",
    "without_common",
]
