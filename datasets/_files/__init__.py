"""Files as datasets hold them: images, zip archives, videos, tables, MATLAB files, labels."""
