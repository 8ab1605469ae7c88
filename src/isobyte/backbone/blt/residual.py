"""One model, two ways to add up: cross-attention that adds its input once, as one that adds it twice."""

from collections.abc import Mapping

from torch import Tensor

from isobyte.config.backbone_blt import BltConfig


def doubled(weights: Mapping[str, Tensor], shape: BltConfig) -> tuple[dict[str, Tensor], BltConfig]:
    """The same model with `cross_residual = "doubled"`: what is added to a stream after its n-th doubling is scaled by
    2^n, which loses no bit, and norms take the scale out again.

    Equal but for the norms' epsilon, which weighs less the greater a stream is.
    """
    if shape.cross_residual == "doubled":
        return dict(weights), shape
    scaled = dict(weights)

    def scale(name: str, factor: float) -> None:
        scaled[f"{name}.weight"] = weights[f"{name}.weight"] * factor

    def scale_block(stack: str, layer: int, factor: float) -> None:
        scale(f"{stack}.stack.blocks.{layer}.attention.out", factor)
        scale(f"{stack}.stack.blocks.{layer}.ffn.down", factor)

    stream = 1.0
    for layer in range(1 if shape.encoder_cross_layers == "last" else shape.encoder.layers):
        stream *= 2
        scale(f"encoder.cross.{layer}.out", stream)
    if "latent.enter.weight" in weights:
        scale("latent.enter", 1 / stream)
    else:
        for layer in range(shape.latent.layers):
            scale_block("latent", layer, stream)
        scale("decoder.enter", 1 / stream)
    stream = 1.0
    for layer in range(shape.decoder.layers):
        if f"decoder.cross.{layer}.out.weight" in weights:
            stream *= 2
            scale(f"decoder.cross.{layer}.out", stream)
        scale_block("decoder", layer, stream)
    return scaled, shape.model_copy(update={"cross_residual": "doubled"})
