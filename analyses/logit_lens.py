"""Which language the model thinks in: the English answer's share against the local one's.

By layer.
"""

from analyses.common import arguments, load, write
from mechcla import plots
from mechcla.geometry.lens import english_share

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    found = {
        k: english_share(model, items, k, args.resamples) for k in items.languages if k != "en"
    }
    write(
        args.out,
        "logit_lens",
        [row for k, c in found.items() for row in c.rows(language=k)],
        plots.curves({"share of the English first token": found}, level=0.5),
    )
