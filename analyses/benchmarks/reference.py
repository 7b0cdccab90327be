"""The record of `make bench` as docs/benchmarks.md shows it: numbers as texts, one table a list.

python -m analyses.benchmarks.reference runs/benchmarks/record.json --out OUT.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from analyses.common import one_message, write_record
from mechcla.errors import MechclaError

Row = dict[str, Any]
NAMES = {
    "TransformerLens run_with_hooks": "TransformerLens `run_with_hooks`, full logits",
    "transformers hooks": "transformers hooks, scored positions",
    "lm-eval SteeredModel": "lm-eval `SteeredModel`",
    "mechcla": "mechcla",
}
TARGETS = {"TransformerLens run_with_hooks": 15, "transformers hooks": 4, "lm-eval SteeredModel": 5}
RATE = 0.6  # of the matrix-product rate, as a goal for the engine


def reference(record: Row) -> Row:
    """The texts and tables of the page. Raises MechclaError for a record that lacks a section."""
    lacking = [k for k in ("paths", "extraction", "scaling", "dtypes") if k not in record]
    if lacking:
        raise MechclaError(
            f"the record has no {', '.join(lacking)}; expected one of a whole `make bench`"
        )
    paths = {row["path"]: row for row in record["paths"]}
    whole, hooks, lm_eval, mine = (paths[name] for name in NAMES)
    scored_only, shared = record["savings"][1:3]
    peer, own = record["extraction"]
    exact, half = record["dtypes"]
    rates = record["matmul_gflops"]
    return {
        "what": "tables of make bench",
        "command": "make bench",
        "commit": record.get("commit", "not recorded"),
        "date": record.get("date", "not recorded"),
        "largest_difference_lm_eval": f"{lm_eval['largest_difference']:.1e}",
        "largest_difference_others": f"{max(r['largest_difference'] for r in (hooks, mine)):.1e}",
        "matrix_product_gflops": f"{statistics.median(rates):.0f}",
        "matrix_product_gflops_cold": f"{rates[0]:.0f}",
        "extraction_seconds": f"{own['median_s']:.2f}",
        "extraction_mib": f"{own['peak_mib']:.0f}",
        "extraction_peer_seconds": f"{peer['median_s']:.2f}",
        "extraction_peer_mib": f"{peer['peak_mib']:.0f}",
        "extraction_faster": f"{peer['times_faster']:.1f}",
        "extraction_less_memory": f"{peer['peak_mib'] / own['peak_mib']:.1f}",
        "extraction_difference": f"{own['largest_relative_difference']:.1e}",
        "parity_float32": f"{exact['engine_against_run_with_hooks']:.1e}",
        "parity_bfloat16": f"{half['engine_against_run_with_hooks']:.2f}",
        "parity_bfloat16_float32": f"{half['against_float32']:.2f}",
        "bfloat16_seconds": f"{half['seconds']:.2f}",
        "float32_seconds": f"{exact['seconds']:.2f}",
        "faster_exact": f"{whole['times_faster']:.1f}",
        "at_full_rate": f"{whole['times_faster'] / mine['of_matmul_rate']:.0f}",
        "less_work": f"{whole['gflop'] / mine['gflop']:.1f}",
        "gflop": f"{mine['gflop']:,.0f}",
        "gflop_peer": f"{whole['gflop']:,.0f}",
        "rate": f"{mine['of_matmul_rate']:.2f}",
        "rate_peer": f"{whole['of_matmul_rate']:.2f}",
        "fewer_tokens": f"{scored_only['block_tokens'] / shared['block_tokens']:.1f}",
        "least_mib": f"{min(r['peak_mib'] for r in record['scaling']):.0f}",
        "most_mib": f"{max(r['peak_mib'] for r in record['scaling']):.0f}",
        "paths": [_path(name, paths[name]) for name in NAMES],
        "savings": [_saving(row) for row in record["savings"][1:]],
        "scaling": [_size(row) for row in record["scaling"]],
    }


def _seconds(row: Row) -> str:
    digits = 0 if row["median_s"] >= 100 else 1
    return f"{row['median_s']:.{digits}f} ({row['min_s']:.{digits}f}-{row['max_s']:.{digits}f})"


def _path(name: str, row: Row) -> dict[str, str]:
    target = TARGETS.get(name)
    rate = f"{row['of_matmul_rate']:.2f}"
    return {
        "path": NAMES[name],
        "seconds": _seconds(row),
        "mechcla is faster": f"{row['times_faster']:.1f}x" if target else "",
        "target": f"{target}x" if target else "",
        "blocks run": f"{row['blocks']:,}",
        "tokens through blocks": f"{row['block_tokens']:,}",
        "positions unembedded": f"{row['unembedded']:,}",
        "GFLOP": f"{row['gflop']:,.0f}",
        "of the matrix-product rate": rate if target else f"{rate} (target {RATE})",
    }


def _saving(row: Row) -> dict[str, str]:
    return {
        "mechcla, one saving after another": row["path"],
        "seconds": _seconds(row),
        "against `run_with_hooks`": f"{row['times_faster']:.1f}x",
        "GFLOP": f"{row['gflop']:,.0f}",
        "of the rate": f"{row['of_matmul_rate']:.2f}",
    }


def _size(row: Row) -> dict[str, str]:
    return {
        "items x layers": f"{row['items']} x {row['layers']}",
        "item-cells": f"{row['item_cells']:,}",
        "seconds": f"{row['seconds']:.1f}",
        "s per item-cell": f"{row['seconds'] / row['item_cells']:.3f}",
        "peak MiB": f"{row['peak_mib']:.0f}",
    }


def main(arguments: list[str] | None = None) -> int:
    sys.excepthook = one_message
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    made = reference(json.loads(args.record.read_text("utf-8")))
    write_record(args.out, made)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
