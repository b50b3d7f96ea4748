"""Executors supply slots for cells and nothing else; what a cell is, is none of their business."""
