"""The command line: `ldmlab <command> [Hydra overrides]`. The only room that knows Hydra.

A command is a page in `manual.py`, a `run(cfg)` in the module of its name, `conf/<command>.yaml`, and a class in
`schema.py` with the ranges of its own keys. Nothing here imports torch or Lightning at module level, save the
commands' modules, which are imported after the composed config has been validated.
"""
