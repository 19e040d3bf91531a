"""The controls of the judge, a file each kind; `mechcot.analyses.judge_controls.registry` lists them."""
