"""A rule with the model it asks and the thresholds it compares with."""

from typing import cast

import torch
from torch import Tensor, nn

from isobyte.backbone.byte_ids import COUNT, documents_of
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.mask import CAUSAL, Dense, MaskSpec, document_mask
from isobyte.backbone.patching.rules import Rows, capped, opens, rows_of
from isobyte.config.patching import EntropyPatching, FlatScorer, NgramScorer, Patching


class NgramTable(nn.Module):
    """The entropy of the next byte by the last `context` ids: a look-up."""

    entropy: Tensor

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self.register_buffer("entropy", torch.zeros(COUNT**context))

    def look_up(self, before: Tensor, ids: Tensor) -> Tensor:
        """Nats of what comes after `ids`, which come after `before`; any shape."""
        if self.context == 2:
            return self.entropy[before * COUNT + ids]
        return self.entropy[ids if self.context else torch.zeros_like(ids)]


class Patcher(nn.Module):
    """ids -> where patches open. It is frozen: no gradient, no part in training a model that uses it.

    A network as scorer predicts all 260 ids. Thresholds are buffers, so that weights on disk carry those that were
    set on the training text.
    """

    threshold: Tensor
    rise: Tensor

    def __init__(self, config: Patching, *, documents: bool = True, attention: str = "sdpa") -> None:
        super().__init__()
        self.config, self.documents = config, documents
        self.scorer: FlatModel | NgramTable | None = None
        if isinstance(config, EntropyPatching):
            match config.scorer:
                case FlatScorer():
                    self.scorer = FlatModel(config.scorer.shape, COUNT, attention=attention)
                case NgramScorer():
                    self.scorer = NgramTable(config.scorer.context)
            for name in ("threshold", "rise"):
                value = getattr(config, name)
                self.register_buffer(name, torch.tensor(float("nan") if value is None else value))
        self.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where its numbers are."""
        return next(self.buffers(), torch.empty(0)).device

    @torch.no_grad()
    def entropies(self, ids_BT: Tensor) -> Tensor | None:
        """Nats [B, T] of the id after each, given it and those before; None for a rule that asks no scorer.

        Rows of the batch never influence each other. Always in the weights' own precision: thresholds are compared.
        """
        match self.scorer:
            case None:
                return None
            case NgramTable():
                rows = rows_of(ids_BT)
                return self.scorer.look_up(rows.before, rows.id)
        window = self.scorer.shape.attention_window
        documents = documents_of(ids_BT) if self.documents else None
        mask = CAUSAL if documents is None else Dense(document_mask(documents, MaskSpec("causal", window)))
        with torch.autocast(ids_BT.device.type, enabled=False):
            return entropy_of(self.scorer.logits(self.scorer(ids_BT, mask)))

    def starts(self, ids_BT: Tensor) -> Tensor:
        """[B, T + 1] bool: does x_t open a patch, for t = 0..T, the byte to come included."""
        return self.starts_by(ids_BT, self.entropies(ids_BT))

    def starts_by(self, ids_BT: Tensor, entropy_BT: Tensor | None) -> Tensor:
        """As `starts`, by entropies that are known already."""
        first_B = torch.zeros_like(ids_BT[:, 0])
        after, _ = self.opens(rows_of(ids_BT, entropy_BT), first_B)
        return torch.cat((torch.ones_like(after[:, :1]), after), 1)

    def opens(self, rows: Rows, start_B: Tensor) -> tuple[Tensor, Tensor]:
        """For rows [B, S] of texts whose open patch began at `start_B`: does the byte after each open a patch, and
        where does that byte's patch begin."""
        entropic = isinstance(self.config, EntropyPatching)
        threshold, rise = (self.threshold, self.rise) if entropic else (None, None)
        found = opens(self.config, rows, threshold, rise, documents=self.documents)
        return capped(found, rows.position, start_B, self.config.max_length)


def entropy_of(logits: Tensor) -> Tensor:
    """Nats [...] of softmax(logits [..., V])."""
    log_p = cast(Tensor, logits.float().log_softmax(-1))
    return -(log_p.exp() * log_p).sum(-1)
