"""Equal tuning: the same budget of trials for every method, by cells scored on validation subjects.

May import errors, system, config, results, data, study.
"""
