"""One cell -> one record: set up, train, checkpoint, score, write.

May import every wing to its left: study and training, and all that these may import.
"""
