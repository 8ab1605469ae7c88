"""Controls: what reading in another order keeps of a text and what it destroys, measured on the text alone."""
