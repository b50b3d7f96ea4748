"""The embedded dataset: subjects, performances, scenes and how they are drawn."""
