"""Office documents: Word, PowerPoint, Excel and OpenDocument files, by their XML."""
