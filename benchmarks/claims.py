"""`python -m benchmarks.claims`: what the articles say in passing, measured on the real data.

Each claim has its experiment (`experiments.py`), its figures, and its notebook, where the same is done on pictures that
a program draws. All together they take some twenty minutes on one core, so that everybody can repeat them, except
`--only wider-dense`, which takes half an hour more.

Writes benchmarks/results/claims.json (processor, date, figures) and claims.md, each claim as soon as it is measured;
`--only` measures some and leaves the others as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicnn.cli.machine import processor_name
from minicnn.cli.results import replacing, today, write_json

from . import driver, experiments

RESULTS = driver.ROOT / "benchmarks" / "results" / "claims.json"


@dataclass(frozen=True)
class Claim:
    """What an article says, and how it is tried.

    Attributes:
        article: the letters of those that say it, in the index.
        says: the claim, in our words.
        experiment: what is done, on what.
        measure: does it, and returns the figures by name.
        notebook: the number of the one that does the same on drawn pictures.
        answer: what the figures say of the claim.
        long: it takes more than minutes, so it is measured only when named.
    """

    article: str
    says: str
    experiment: str
    measure: Callable[[], experiments.Figures]
    notebook: str
    answer: str
    long: bool = False


CLAIMS = {
    "wider-dense": Claim(
        "A",
        "a smaller first convolution and wider dense layers beat more filters (both were changed at once)",
        "2x2 between `strika-conv128` and `strika-final`, on cats and dogs of half the article's side: accuracy on "
        "1,024 after 6 epochs of 4,096, medians of 3 seeds; in full: "
        "`minicnn study strika-final --recipe corrected --vary conv2d.filters=64,128 --vary units=256,512`",
        experiments.wider_dense,
        "01",
        "the wider dense layers, by one to two points; the smaller first convolution changes less than one, either "
        "way",
        long=True,
    ),
    "trees": Claim(
        "A",
        "boosted trees do worse still on pixels",
        "accuracy on 1,024 cats and dogs of 32x32 after 4,096; networks: medians of 3 seeds",
        experiments.trees,
        "01",
        "not against a dense network on such small pictures; against a convolutional one, yes",
    ),
    "neighbours": Claim(
        "A E",
        "neighbouring pixels belong together, distant ones do not",
        "Pearson's r of pixels at a distance; 400 cats and dogs of 125x94, 2,000 digits",
        experiments.neighbours,
        "01",
        "yes, and in digits the correlation falls off sooner than in photographs",
    ),
    "shuffled": Claim(
        "A E",
        "a dense network loses the spatial structure",
        "test accuracy on MNIST after 10,000 digits, 2 epochs, all pixels moved alike; medians of 3 seeds",
        experiments.shuffled,
        "01",
        "yes: it does as well without; a convolutional one does not",
    ),
    "plain": Claim(
        "C",
        "try a plain network first",
        "test accuracy on MNIST after 3 epochs of 60,000",
        experiments.plain,
        "03",
        "a good yardstick: most of what there is to gain, in seconds",
    ),
    "strides": Claim(
        "C",
        "striding loses information, pooling loses less",
        "test accuracy on MNIST of `eastmount` after 20,000 digits, 1 epoch, medians of 3 seeds",
        experiments.strides,
        "03",
        "yes, by two points",
    ),
    "one-matrix": Claim(
        "E",
        "without activations a network is one linear map",
        "a convolution and two dense layers, trained on 20,000 digits, against the one matrix",
        experiments.one_matrix,
        "05",
        "yes, up to rounding; with ReLU no matrix will do",
    ),
    "gradients": Claim(
        "E",
        "ReLU keeps gradients from vanishing",
        "length of the gradients by the kernels, nine dense layers, 256 digits",
        experiments.gradients,
        "05",
        "yes: through sigmoids 1/40,000 of the gradient reaches the first layer, through ReLU all of it",
    ),
    "shifts": Claim(
        "E",
        "max pooling makes the output invariant to small shifts",
        "change of the output over the difference between two pictures, 256 cats and dogs of 64x64",
        experiments.shifts,
        "05",
        "hardly: one pooling forgives nothing, three forgive a little of shifts by 2 and 4 pixels",
    ),
    "parts": Claim(
        "E",
        "layers compose edges into parts",
        "what a cell of `besbes` sees; the notebook shows the patches",
        experiments.parts,
        "05",
        "they can: each sees more than the one before",
    ),
    "scales": Claim(
        "D",
        "a validation loss of 8 to 35 beside 99 % accuracy",
        "`khuyen` after 12,000 digits, measured on MNIST's test set twice",
        experiments.scales,
        "04",
        "the same network on another scale: the accuracy stays, the loss does not",
    ),
    "grid": Claim(
        "B D E",
        "vary kernel size, filters, padding, activation and depth; extra layers bring about 2 % (B)",
        "test accuracy on Fashion-MNIST after 4 epochs of 20,000, medians of 3 seeds",
        experiments.grid,
        "02",
        "it pays: the second convolution brings 2.0 points, the third 1.4; windows larger than a pixel 2 to 4, twice "
        "the filters 2 at the most; valid padding costs 0.8, tanh changes next to nothing",
    ),
    "sizes": Claim(
        "A",
        "survey the sizes before choosing the input's",
        "`minicnn data survey` of the cats and dogs at hand",
        experiments.sizes,
        "01",
        "yes; these were brought to one size beforehand, the article's are mostly 375 x 500",
    ),
    "leaderboard": Claim(
        "E",
        "classify the unlabelled pictures for the leaderboard",
        "id and P(dog) of 1,024 pictures as CSV, by a small network trained on 4,096 of 32x32",
        experiments.leaderboard,
        "05",
        "done; a constant 0.5 has a log loss of 0.69",
    ),
}


def table(results: dict[str, Any]) -> str:
    """The claims with their figures in Markdown."""
    lines = ["| article | claim | experiment | measured | notebook |", "| --- | --- | --- | --- | --- |"]
    for name, claim in CLAIMS.items():
        (notebook,) = (driver.ROOT / "notebooks").glob(f"{claim.notebook}-*.ipynb")
        found = results.get(name)
        figures = [] if found is None else [f"{what}: {_number(value)}" for what, value in found["figures"].items()]
        measured = "<br>".join([f"**{claim.answer}**", *figures]) if found else "not yet measured"
        link = f"[{claim.notebook}](../../notebooks/{notebook.name})"
        lines.append(f"| {claim.article} | {claim.says} | {claim.experiment} | {measured} | {link} |")
    machines = sorted({f"{found['processor']} ({found['date']})" for found in results.values()})
    return "\n".join([*lines, "", f"Measured on {'; '.join(machines)}; seed 0 where nothing else is said."])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.1e}"


def load(path: Path = RESULTS) -> dict[str, Any]:
    """What was measured before, by the claims' names."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(CLAIMS), metavar="NAME", help=f"some of {', '.join(CLAIMS)}")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = load(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name, claim in CLAIMS.items():
        if name not in options.only if options.only else claim.long:
            continue
        begin = time.perf_counter()
        figures = claim.measure()
        seconds = round(time.perf_counter() - begin, 1)
        results[name] = {"processor": processor_name(), "date": today(), "seconds": seconds, "figures": figures}
        print(f"{name}, {seconds} s: {figures}", flush=True)
        write_json(options.out, {key: results[key] for key in CLAIMS if key in results})
    write_table(results, options.out.with_suffix(".md"))
    return 0


def write_table(results: dict[str, Any], path: Path) -> None:
    """Replace the table."""
    with replacing(path) as temporary:
        temporary.write_text(table(results) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
