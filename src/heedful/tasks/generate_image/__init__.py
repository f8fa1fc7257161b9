"""Image generation: images from noise, by a GAN with self-attention."""
