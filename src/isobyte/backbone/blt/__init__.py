"""The Byte Latent Transformer (arXiv 2412.09871): encoder, latent transformer, decoder, and the step through caches."""
