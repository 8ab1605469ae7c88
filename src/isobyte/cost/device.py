"""What accelerators can do at most, from their makers' data sheets."""

PEAK_BF16 = {
    "B200": 2250e12,
    "H200 NVL": 835.5e12, "H200": 989.4e12, "GH200": 989.4e12,
    "H100 NVL": 835.5e12, "H100 PCIe": 756e12, "H100": 989.4e12,
    "A100": 312e12, "A10": 125e12, "A10G": 70e12, "RTX A6000": 154.8e12,
    "L40S": 362.05e12, "L40": 181.05e12, "L4": 121e12,
    "RTX 5090": 209.5e12, "RTX 4090": 165.2e12, "RTX 3090": 71e12,
    "MI300X": 1307.4e12,
}  # fmt: skip
"""Dense bf16 FLOP/s with fp32 accumulation, by a part of the device's name; of the SXM form where none is named."""


def peak_bf16(device_name: str) -> float | None:
    """Dense bf16 FLOP/s of a device called, say, `NVIDIA H100 80GB HBM3`; None for one that is not listed.

    The longest part that the name holds decides, so that an L40S is no L4.
    """
    parts = [part for part in PEAK_BF16 if part.lower() in device_name.lower()]
    return PEAK_BF16[max(parts, key=len)] if parts else None
