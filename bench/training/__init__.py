"""The loop that decides a result: sampler, loader, augmentation, trainer, evaluation.

Everything in it is part of a cell's identity. May import errors, system, config, frame_store,
results, metrics, data and the contract `methods._base`; never a study.
"""
