"""How good generated text is: beside other text, and by the model's own reckoning."""

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import OFFSET


def common_prefix(a: bytes, b: bytes) -> int:
    """Bytes before the first that differs."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def agreement(texts: Sequence[bytes], others: Sequence[bytes]) -> dict[str, float]:
    """Shares of the bytes of `others`: `prefix`, before the first that differs, and `equal`, in the same place."""
    pairs, length = list(zip(texts, others, strict=True)), sum(map(len, others))
    same = sum(x == y for a, b in pairs for x, y in zip(a, b, strict=False))
    return {"prefix": sum(common_prefix(a, b) for a, b in pairs) / length, "equal": same / length}


@torch.inference_mode()
def log_probs(model: BltModel, prompt: Sequence[int], text: bytes) -> Tensor:
    """Natural log-probabilities [len(text), 256], in float64, of each byte of `text` after `prompt`, ids that
    begin with BOS, and the bytes before it: by the causal path, exact, in one forward pass."""
    ids = [*prompt, *(each + OFFSET for each in text)]
    hidden_BTD = model.hidden(torch.tensor([ids[:-1]], device=model.device))
    return model.logits(hidden_BTD[0, len(prompt) - 1 :]).double().log_softmax(-1)


def bits(model: BltModel, prompt: Sequence[int], text: bytes) -> float:
    """What `text` takes after `prompt` (not counted), by the causal path: exact."""
    log_TV = log_probs(model, prompt, text)
    symbols_T1 = torch.tensor(list(text), device=log_TV.device)[:, None]
    return -float(log_TV.gather(1, symbols_T1).sum()) / math.log(2)


def chrf(texts: Sequence[bytes], references: Sequence[bytes]) -> dict[str, Any]:
    """chrF (Popović 2015; 0 to 100) of all texts as sacrebleu has it, and its signature. Bytes that are no UTF-8 are
    replaced; whitespace does not count. Raises ImportError where sacrebleu is not installed."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    shown, expected = ([each.decode(errors="replace") for each in side] for side in (texts, references))
    found = metric.corpus_score(shown, [expected])
    return {"score": float(found.score), "signature": str(metric.get_signature())}


class Quality:
    """Of texts after given prompts, ids that begin with BOS, beside references that go on from them."""

    def __init__(self, model: BltModel, prompts: Sequence[Sequence[int]], references: Sequence[bytes]) -> None:
        self.model, self.prompts, self.references = model, prompts, references
        self.signature: str | None = None
        """What sacrebleu calls its chrF; None where none was computed."""
        self._bits: dict[tuple[int, bytes], float] = {}
        """Several ways come to the same text."""

    def of(self, texts: Sequence[bytes], plain: Sequence[bytes] | None) -> dict[str, Any]:
        """`plain` are the texts that they should be, or None where there are none such.

        `differences` names for each text that is another the first byte that differs, and how many nats plain
        decoding's is likelier than the one in its place: next to none is a tie that rounding decided.
        """
        found: dict[str, Any] = {"bpb": self.bpb(texts), "chrf": self._chrf(texts)}
        if plain is None:
            return found | {"prefix": None, "equal": None, "identical": None, "differences": []}
        pairs = enumerate(zip(texts, plain, strict=True))
        differences = [self._difference(number, text, other) for number, (text, other) in pairs if text != other]
        return found | {**agreement(texts, plain), "identical": not differences, "differences": differences}

    def bpb(self, texts: Sequence[bytes]) -> float:
        """Bits per byte of the texts alone, by the model's causal path: exact."""
        for number, text in enumerate(texts):
            if (number, text) not in self._bits:
                self._bits[number, text] = bits(self.model, self.prompts[number], text)
        return sum(self._bits[each] for each in enumerate(texts)) / sum(map(len, texts))

    def reference(self) -> dict[str, Any]:
        """The references themselves."""
        return {"bpb": self.bpb(self.references), "bytes": sum(map(len, self.references))}

    def _difference(self, number: int, text: bytes, plain: bytes) -> dict[str, Any]:
        at = common_prefix(text, plain)
        log_V = log_probs(self.model, self.prompts[number], plain[: at + 1])[-1]
        return {"text": number, "byte": at, "nats": float(log_V[plain[at]] - log_V[text[at]])}

    def _chrf(self, texts: Sequence[bytes]) -> float | None:
        try:
            found = chrf(texts, self.references)
        except ImportError:
            return None
        self.signature = found["signature"]
        return found["score"]
