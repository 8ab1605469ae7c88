import pytest

from isobyte.cost.device import PEAK_BF16, peak_bf16


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ],
)
def test_a_device_is_known_by_the_longest_part_of_its_name(name: str, part: str) -> None:
    assert peak_bf16(name) == PEAK_BF16[part]


def test_an_unlisted_device_has_no_peak() -> None:
    assert peak_bf16("Tesla K80") is None
