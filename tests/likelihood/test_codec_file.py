"""The compressed file: small, and refused when any of it is missing or wrong."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.errors import UserError
from isobyte.likelihood.codec_file import CAPABILITIES, DEVICES, MAGIC, Environment, Header, pack, unpack
from isobyte.likelihood.route import ORDERS, Route
from isobyte.objective.order import Order

HERE = Environment(torch=(2, 13, 0), capability="AVX512", device="cpu", threads=2, build=123456789)
HEADER = Header(b"modelmod", b"digestdi", HERE, Route(Order(), 128, 256), symbols=20_000, raw_bytes=20_000, bits=60_001)
PAYLOAD = bytes(range(40))
FILE = pack(HEADER, PAYLOAD)

sizes = st.integers(0, 2**40)
counts = st.integers(1, 2**16)
headers = st.builds(
    Header,
    model=st.binary(min_size=8, max_size=8),
    digest=st.binary(min_size=8, max_size=8),
    environment=st.builds(
        Environment,
        torch=st.tuples(*[st.integers(0, 255)] * 3),
        capability=st.sampled_from(CAPABILITIES),
        device=st.sampled_from(DEVICES),
        threads=counts,
        build=st.integers(0, 2**32 - 1),
    ),
    route=st.builds(
        Route,
        order=st.builds(Order, rule=st.sampled_from(ORDERS), per_step=counts, seed=st.integers(0, 2**32 - 1)),
        window=counts,
        group=counts,
        unit=st.sampled_from(["symbol", "digit"]),
    ),
    symbols=sizes,
    raw_bytes=sizes,
    bits=sizes,
)


@given(header=headers, payload=st.binary(max_size=100))
def test_what_is_packed_is_unpacked(header: Header, payload: bytes) -> None:
    assert unpack(pack(header, payload), "x") == (header, payload)


def test_the_header_is_small() -> None:
    """With the coder's last words no file is 64 bytes longer than its code, even under a long seed."""
    assert len(FILE) - len(PAYLOAD) == 51
    least = dataclasses.replace(HEADER, symbols=0, raw_bytes=0, bits=0)
    assert len(pack(least, b"")) == 45
    route = Route(Order("entropy", 100, 2**32 - 1), 2**13, 256)
    assert len(pack(dataclasses.replace(HEADER, route=route), b"")) <= 56


def test_every_changed_byte_is_refused() -> None:
    for place in range(len(FILE)):
        for change in range(1, 256):
            wrong = bytearray(FILE)
            wrong[place] ^= change
            with pytest.raises(UserError):
                unpack(bytes(wrong), "x")


def test_every_truncation_is_refused() -> None:
    for length in range(len(FILE)):
        with pytest.raises(UserError, match=r"cut off|not a file"):
            unpack(FILE[:length], "x")
    with pytest.raises(UserError, match="damaged"):
        unpack(FILE + b"\0", "x")


@given(data=st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + b"\1"):
        with pytest.raises(UserError):
            unpack(start + data, "x")


def test_another_version_is_named() -> None:
    with pytest.raises(UserError, match="has version 2, not 1"):
        unpack(MAGIC + b"\2" + FILE[5:], "x")


def test_differences_of_environments_are_named() -> None:
    def says(**changed: object) -> str:
        return ", ".join(HERE.differences(dataclasses.replace(HERE, **changed)))

    assert says() == ""
    assert says(threads=9) == "", "threads can be set"
    assert says(torch=(2, 12, 1)) == "torch 2.13.0 (here 2.12.1)"
    assert says(capability="AVX2", build=1) == "AVX512 kernels (here AVX2)"
    assert "cpu (here cuda)" in says(device="cuda")
    assert "another processor" in says(build=1)


@pytest.mark.parametrize("place", ["window", "group", "threads"])
def test_a_header_without_sense_is_refused(place: str) -> None:
    """Its checksum fits; whoever wrote it was not us."""
    if place == "threads":
        header = dataclasses.replace(HEADER, environment=dataclasses.replace(HERE, threads=0))
    else:
        header = dataclasses.replace(HEADER, route=dataclasses.replace(HEADER.route, **{place: 0}))
    with pytest.raises(UserError, match="makes no sense"):
        unpack(pack(header, PAYLOAD), "x")
