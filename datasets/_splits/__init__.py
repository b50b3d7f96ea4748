"""Folds, splits and label masks: who is tested, and which labels may be learnt from.

`folds.py` divides subjects, `masks.py` chooses key frames among the coded frames of training
sequences. None of it depends on a method, a network or a device.
"""
