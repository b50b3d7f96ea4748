"""What the readers of BP4D, BP4D+ and MME share: layout on disk, options, the reader itself."""
