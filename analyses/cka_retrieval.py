"""Are languages' spaces alike to English: debiased linear CKA and retrieval of the translation, by
layer.
"""

from analyses.common import arguments, load, write
from mechcla import plots
from mechcla.geometry import linear_cka, retrieval
from mechcla.vectors.residuals import cache_residuals

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    h = cache_residuals(model, items.universal)
    cka, top1, mrr = {}, {}, {}
    for language in (k for k in h.languages if k != "en"):
        left, right = h.paired("en", language)
        cka[language] = linear_cka(left, right, args.resamples)
        found = retrieval(left, right, "csls", args.resamples)
        top1[language], mrr[language] = found.top1, found.mrr
    both = {"linear CKA with English": cka, "top-1 retrieval of the English question": top1}
    write(
        args.out,
        "cka_retrieval",
        [row for cs in (cka, top1, mrr) for k, c in cs.items() for row in c.rows(language=k)],
        plots.curves(both),
    )
