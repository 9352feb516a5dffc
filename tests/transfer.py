"""Small files of question two's statistics, in the columns that the stage which writes them has."""

import json
from pathlib import Path

STARTS = ("random", "digits", "characters")
TABLES = {
    "budgets": (
        "start,way,budget,n,mean,low,high",
        [f"{s},{w},{b},3,0.{8 + i},0.{7 + i},0.{8 + i}5" for i, s in enumerate(STARTS[:2])
         for w in ("full", "probe") for b in ("10", "100", "all")],
    ),
    "comparisons": (
        "budget,way,start,against,n,difference,low,high,p,p_corrected,effect,equivalence_p,"
        "verdict,sentence",
        ["10,full,digits,random,3,0.1,0.05,0.15,0.01,0.02,1.5,0.9,helps,It helps.",
         "all,full,digits,random,3,0,-0.001,0.001,0.9,1,0.1,0.01,equivalent,No difference."],
    ),
    "thresholds": (
        "start,way,budget,seed,threshold,step,images_seen,flops",
        ["random,full,all,0,0.99,20,5120,1000000", "digits,full,all,0,0.99,,,"],
    ),
    "curves": (
        "start,way,budget,seed,step,images_seen,loss,accuracy",
        [f"{s},full,10,{seed},{k},{k * 100},1,0.{5 + k}{seed}" for s in STARTS
         for seed in (0, 1) for k in range(4)],
    ),
    "cka": ("first,second,layer,cka", ["random,digits,0,0.91", "random,digits,1,0.62"]),
    "digits": ("start,digit,errors,images",
               [f"{s},{d},{d + i},100" for i, s in enumerate(STARTS) for d in range(10)]),
    "agreement": ("first,second,share", ["random,digits,0.98", "random,characters,0.97"]),
}  # fmt: skip
ABLATION = (
    "choice,mean,sd,folds,difference,why,source\n"
    "no augmentation,0.85,0.01,5,-0.05,few images,Simard 2003\n"
    "<b>no place</b>,0.83,0.01,5,-0.07,c and C,measured\n"
)
ANSWER = "It helps with <few> labels & not with many."


def write(metrics: Path) -> None:
    """Put the tables, their answer and an ablation below metrics/<source>."""
    (metrics / "transfer").mkdir(parents=True)
    for name, (header, rows) in TABLES.items():
        (metrics / "transfer" / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    (metrics / "transfer.json").write_text(json.dumps({"answer": ANSWER}))
    (metrics / "ablation.csv").write_text(ABLATION)
