"""CRD's machinery: banks of embeddings, drawing of negatives, the contrast."""
