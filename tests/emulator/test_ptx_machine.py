"""The machine for PTX: single instructions by the manual, threads that part and meet, memory."""

import numpy as np
import pytest
from emulator_memory import Memory
from ptx_machine import Machine

from ops.cuda.device.device import Launch

FRAME = """
.version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic_shared[];
.visible .entry kernel(
  .param .u64 kernel_param_0,
  .param .u32 kernel_param_1
)
.maxntid 64, 1, 1
{
  .reg .pred %p<9>;
  .reg .b32 %r<19>;
  .reg .f32 %f<9>;
  .reg .b64 %rd<19>;
  .reg .f64 %fd<9>;
  ld.param.u64 %rd1, [kernel_param_0];
  ld.param.u32 %r1, [kernel_param_1];
  mov.u32 %r2, %tid.x;
  mul.wide.u32 %rd2, %r2, 4;
  add.s64 %rd3, %rd1, %rd2;
BODY
  st.global.b32 [%rd3], %r9;
  ret;
}
"""


def run(
    body: str, threads: int = 32, given: int = 0, shared: int = 0, *, falling: bool = False
) -> list[int]:
    """What each thread of a block leaves in %r9."""
    memory = Memory(1 << 16)
    address = memory.allocate(4 * threads)
    launch = Launch("kernel", (1, 1, 1), threads, (address, given), shared)
    Machine(FRAME.replace("BODY", body)).run(launch, memory, falling=falling)
    return memory.view(address, 4 * threads).view(np.int32).tolist()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("bfe.s32 %r9, 0x00000F50, 4, 8;", -11),
        ("bfe.u32 %r9, 0x00000F50, 4, 8;", 0xF5),
        ("bfe.s32 %r9, 0x80000000, 28, 9;", -8),
        ("bfe.u32 %r9, 0xF0000000, 28, 9;", 15),
        ("bfe.s32 %r9, 255, 3, 0;", 0),
        ("bfi.b32 %r9, 0x2B, 0x7FFF0000, 4, 8;", 0x7FFF02B0),
        ("prmt.b32 %r9, 0x33221100, 0x77665544, 0x5360;", 0x55336600),
        ("prmt.b32 %r9, 0x00008000, 0, 0x0091;", 0x0000FF80),
        ("dp4a.s32.s32 %r9, 0x01FF02FE, 0x03040506, 10;", 10 + 3 - 4 + 10 - 12),
        ("shl.b32 %r9, 1, 40;", 0),
        ("shr.s32 %r9, -8, 40;", -1),
        ("shr.u32 %r9, -8, 28;", 15),
        ("div.s32 %r9, -7, 2;", -3),
        ("div.u32 %r9, -1, 16;", 0x0FFFFFFF),
        ("rem.u32 %r9, 100, 7;", 2),
        ("rem.s64 %rd9, -7, 2; cvt.u32.u64 %r9, %rd9;", -1),
        ("mul.lo.s32 %r9, 65537, 65537;", 131073),
        ("mad.lo.s32 %r9, -3, 5, 1;", -14),
        ("mul.wide.s32 %rd9, -3, 5; shr.s64 %rd9, %rd9, 1; cvt.u32.u64 %r9, %rd9;", -8),
        ("mov.u64 %rd9, 0x1FFFFFFFE; cvt.s64.s32 %rd9, %rd9; cvt.u32.u64 %r9, %rd9;", -2),
        ("setp.lt.s32 %p1, -1, 1; selp.b32 %r9, 5, 6, %p1;", 5),
        ("setp.lt.u32 %p1, -1, 1; selp.b32 %r9, 5, 6, %p1;", 6),
        ("mov.f32 %f1, 0f7FC00000; setp.leu.f32 %p1, %f1, 0f00000000; selp.b32 %r9, 5, 6, %p1;", 5),
        ("mov.f32 %f1, 0f7FC00000; setp.gt.f32 %p1, %f1, 0f00000000; selp.b32 %r9, 5, 6, %p1;", 6),
        ("setp.eq.s32 %p1, 1, 1; not.pred %p2, %p1; selp.b32 %r9, 5, 6, %p2;", 6),
        ("max.f32 %f1, 0f7FC00000, 0fC0000000; mov.b32 %r9, %f1;", -0x40000000),
        ("cvt.rni.s32.f32 %r9, 0f40200000;", 2),  # 2.5
        ("cvt.rni.s32.f32 %r9, 0f7FC00000;", 0),
        ("cvt.rni.s32.f64 %r9, 0d7FF8000000000000;", -(2**31)),
        ("cvt.rni.s32.f32 %r9, 0f7F800000;", 0x7FFFFFFF),
        ("mul.rn.f32 %f1, 0f40400000, 0f3F000000; mov.b32 %r9, %f1;", 0x3FC00000),
        ("div.rn.f64 %fd1, 0d4008000000000000, 0d4000000000000000; cvt.rni.s32.f64 %r9, %fd1;", 2),
        ("add.rn.f16x2 %r9, 0x3C003C00, 0x40003C00;", 0x42004000),
        ("{ .reg .b16 l, h; cvt.rn.f16.f32 l, 0f3F800000; mov.b32 %r9, {l, l}; }", 0x3C003C00),
    ],
)
def test_an_instruction(body, wanted):
    assert set(run(body)) == {wanted}


@pytest.mark.parametrize(
    "known",
    [
        *("popc.b32 %r9, 7;", "mul.hi.s32 %r9, 7, 7;", "max.NaN.f32 %f1, %f2, %f3;"),
        *("cvt.rzi.s32.f32 %r9, %f1;", "setp.ne.f32 %p1, %f1, %f2;", "dp4a.u32.u32 %r9, 1, 1, 1;"),
        *("shfl.sync.down.b32 %r9, %r2, 1, 31, 0xffffffff;", "ld.local.b32 %r9, [%rd1];"),
        *("ld.global.u32.volatile %r9, [%rd1];", "bar.arrive 0, 32;", "add.rz.f32 %f1, %f1, %f2;"),
    ],
)
def test_what_is_not_known_is_told(known):
    with pytest.raises((KeyError, AssertionError)):
        run(known)


PARTED = """
  setp.lt.u32 %p1, %r2, 5;
  @%p1 bra $FEW;
  mul.lo.s32 %r3, %r2, 10;
  bra.uni $MET;
$FEW:
  mov.u32 %r3, 1000;
$MET:
  shfl.sync.bfly.b32 %r9, %r3, 16, 31, 0xffffffff;
"""


def test_threads_that_part_meet_again():
    assert run(PARTED) == [(n ^ 16) * 10 if n ^ 16 >= 5 else 1000 for n in range(32)]


TURNS = """
  mov.u32 %r3, 0;
  mov.u32 %r4, 0;
$AGAIN:
  add.s32 %r4, %r4, %r3;
  add.s32 %r3, %r3, 1;
  setp.le.u32 %p1, %r3, %r2;
  @%p1 bra $AGAIN;
  shfl.sync.idx.b32 %r9, %r4, %r1, 31, 0xffffffff;
"""


def test_each_thread_takes_its_own_number_of_turns():
    assert run(TURNS, given=7) == [28] * 32


def test_a_warp_that_meets_in_two_places_waits_for_ever():
    split = PARTED.replace("bra.uni $MET", "bar.warp.sync 0xffffffff").replace(
        "mov.u32 %r3, 1000", "bar.warp.sync 0xffffffff"
    )
    with pytest.raises(AssertionError, match="wait"):
        run(split)


TURNED = """
  shl.b32 %r3, %r2, 2;
  mov.u64 %rd5, dynamic_shared;
  cvt.u32.u64 %r4, %rd5;
  add.s32 %r3, %r3, %r4;
  st.shared.b32 [%r3], %r2;
  bar.sync 0;
  mov.u32 %r5, 252;
  add.s32 %r5, %r5, %r4;
  add.s32 %r5, %r5, %r4;
  sub.s32 %r5, %r5, %r3;
  ld.shared.b32 %r9, [%r5];
"""


@pytest.mark.parametrize("falling", [False, True])
def test_a_block_meets_at_a_barrier(falling):
    assert run(TURNED, 64, shared=256, falling=falling) == list(range(63, -1, -1))


def test_a_barrier_that_is_missing_shows_where_the_last_warp_goes_first():
    got = run(TURNED.replace("bar.sync 0;", ""), 64, shared=256, falling=True)
    assert got[32:] != list(range(31, -1, -1)) and got[:32] == list(range(63, 31, -1))


def test_a_barrier_that_some_do_not_reach():
    leaving = "setp.lt.u32 %p1, %r2, 40; @%p1 bra $ON; ret; $ON:\n" + TURNED
    with pytest.raises(AssertionError, match="wait"):
        run(leaving, 64, shared=256)


@pytest.mark.parametrize(
    ("body", "shared", "told"),
    [
        ("ld.global.nc.b32 %r9, [%rd1+128];", 0, "128 of a piece of 128"),
        ("mov.u64 %rd5, 0; ld.global.nc.f32 %f1, [%rd5]; mov.b32 %r9, %f1;", 0, "no address"),
        ("ld.global.nc.v2.b32 {%r8, %r9}, [%rd1+4];", 0, "not aligned to 8"),
        (TURNED, 128, "shared memory"),
        ("mov.u32 %r9, dynamic_shared; st.shared.b32 [%r9+2], %r2;", 16, "not aligned to 4"),
        ("mov.u32 %r9, 0; st.shared.b32 [%r9], %r2;", 16, "shared memory"),
        ("st.global.b32 [%rd1], %r2; mov.u32 %r9, 0;", 0, "different values"),
    ],
)
def test_a_wrong_access_is_told(body, shared, told):
    with pytest.raises(AssertionError, match=told):
        run(body, 64 if shared == 128 else 32, shared=shared)


def test_threads_that_do_not_load_may_hold_any_address():
    guarded = """
      mov.u32 %r9, 7;
      setp.lt.u32 %p1, %r2, 32;
      @%p1 bra $OUT;
      ld.global.nc.b32 %r9, [%rd1+4096];
    $OUT:
      mov.u32 %r8, 0;
    """
    assert run(guarded) == [7] * 32


def test_blocks_have_shared_memory_of_their_own():
    memory = Memory(1 << 16)
    address = memory.allocate(4 * 64)
    body = """
      mov.u32 %r3, %ctaid.y;
      mul.wide.u32 %rd4, %r3, 128;
      add.s64 %rd3, %rd3, %rd4;
      shl.b32 %r4, %r2, 2;
      mov.u32 %r5, dynamic_shared;
      add.s32 %r4, %r4, %r5;
      st.shared.b32 [%r4], %r3;
      bar.sync 0;
      ld.shared.b32 %r9, [%r4];
    """
    launch = Launch("kernel", (1, 2, 1), 32, (address, 0), 128)
    Machine(FRAME.replace("BODY", body)).run(launch, memory)
    assert memory.view(address, 256).view(np.int32).tolist() == [0] * 32 + [1] * 32
