"""Loads and stores: between registers and global or shared memory."""

import ctypes
from typing import Any

import numpy as np

from ops.cuda.kernels.intrinsics.primitives import intrinsic, load, store, wrapped


def _read(address: int, kind: Any, count: int) -> list[Any]:
    return list((kind * count).from_address(address))


def _write(address: int, kind: Any, *numbers: Any) -> None:
    (kind * len(numbers)).from_address(address)[:] = numbers


_I32, _F32 = ctypes.c_int32, ctypes.c_float


@load("ld.global.nc.b32 $0, [$1];", "i:l", 4)
def load_int(address: int) -> Any:
    """`nc`: for data that no thread of this launch writes."""
    return _read(address, _I32, 1)[0]


@load("ld.global.nc.b64 $0, [$1];", "l:l", 8)
def load_address(address: int) -> Any:
    return _read(address, ctypes.c_int64, 1)[0]


@load("ld.global.nc.f32 $0, [$1];", "f:l", 4)
def load_float(address: int) -> Any:
    return np.float32(_read(address, _F32, 1)[0])


@load("{ .reg .u16 h; ld.global.nc.u16 h, [$1]; cvt.u32.u16 $0, h; }", "i:l", 2)
def load_short(address: int) -> Any:
    """16 bits, zero-extended."""
    return _read(address, ctypes.c_uint16, 1)[0]


@load("{ .reg .u16 h; ld.global.nc.u8 h, [$1]; cvt.u32.u16 $0, h; }", "i:l", 1)
def load_byte(address: int) -> Any:
    """8 bits, zero-extended."""
    return _read(address, ctypes.c_uint8, 1)[0]


@load("ld.global.nc.v2.b32 {$0, $1}, [$2];", "ii:l", 8)
def load_int2(address: int) -> Any:
    return tuple(_read(address, _I32, 2))


@load("ld.global.nc.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:l", 16)
def load_int4(address: int) -> Any:
    return tuple(_read(address, _I32, 4))


@load("ld.global.nc.L1::no_allocate.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:l", 16)
def stream_int4(address: int) -> Any:
    """For data read once: a streaming load that does not pollute L1."""
    return tuple(_read(address, _I32, 4))


@load("ld.global.nc.v2.f32 {$0, $1}, [$2];", "ff:l", 8)
def load_float2(address: int) -> Any:
    return tuple(map(np.float32, _read(address, _F32, 2)))


@load("ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];", "ffff:l", 16)
def load_float4(address: int) -> Any:
    return tuple(map(np.float32, _read(address, _F32, 4)))


@intrinsic("ld.global.b32 $0, [$1];", "i:l", touches=("global", 4), effects=True)
def reload_int(address: int) -> Any:
    """For data that this launch may have written."""
    return _read(address, _I32, 1)[0]


@intrinsic("ld.global.f32 $0, [$1];", "f:l", touches=("global", 4), effects=True)
def reload_float(address: int) -> Any:
    """For data that this launch may have written."""
    return np.float32(_read(address, _F32, 1)[0])


@store("st.global.b32 [$0], $1;", ":li", 4)
def store_int(address: int, number: int) -> Any:
    _write(address, _I32, wrapped(number))


@store("st.global.f32 [$0], $1;", ":lf", 4)
def store_float(address: int, number: float) -> Any:
    _write(address, _F32, number)


@store("st.global.v2.f32 [$0], {$1, $2};", ":lff", 8)
def store_float2(address: int, *numbers: float) -> Any:
    _write(address, _F32, *numbers)


@store("{ .reg .u16 h; cvt.u16.u32 h, $1; st.global.u16 [$0], h; }", ":li", 2)
def store_short(address: int, number: int) -> Any:
    _write(address, ctypes.c_uint16, number & 0xFFFF)


@store("{ .reg .u16 h; cvt.u16.u32 h, $1; st.global.u8 [$0], h; }", ":li", 1)
def store_byte(address: int, number: int) -> Any:
    _write(address, ctypes.c_uint8, number & 0xFF)


@load("ld.shared.b32 $0, [$1];", "i:i", 4, "shared")
def shared_load_int(address: int) -> Any:
    return _read(address, _I32, 1)[0]


@load("ld.shared.f32 $0, [$1];", "f:i", 4, "shared")
def shared_load_float(address: int) -> Any:
    return np.float32(_read(address, _F32, 1)[0])


@load("ld.shared.v4.b32 {$0, $1, $2, $3}, [$4];", "iiii:i", 16, "shared")
def shared_load_int4(address: int) -> Any:
    return tuple(_read(address, _I32, 4))


@store("st.shared.b32 [$0], $1;", ":ii", 4, "shared")
def shared_store_int(address: int, number: int) -> Any:
    _write(address, _I32, wrapped(number))


@store("st.shared.v4.b32 [$0], {$1, $2, $3, $4};", ":iiiii", 16, "shared")
def shared_store_int4(address: int, *numbers: int) -> Any:
    _write(address, _I32, *map(wrapped, numbers))


@store("st.shared.f32 [$0], $1;", ":if", 4, "shared")
def shared_store_float(address: int, number: float) -> Any:
    _write(address, _F32, number)


@load("ld.global.nc.f64 $0, [$1];", "d:l", 8)
def load_double(address: int) -> Any:
    return _read(address, ctypes.c_double, 1)[0]


@load("ld.shared.f64 $0, [$1];", "d:i", 8, "shared")
def shared_load_double(address: int) -> Any:
    return _read(address, ctypes.c_double, 1)[0]


@store("st.shared.f64 [$0], $1;", ":id", 8, "shared")
def shared_store_double(address: int, number: float) -> Any:
    _write(address, ctypes.c_double, number)
