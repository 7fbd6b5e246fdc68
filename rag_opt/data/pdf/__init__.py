"""PDF files: characters by PDFium, put into the order in which a person reads them."""
