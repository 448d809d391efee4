"""The harness itself: small kernels with one mistake each, which it must find, and one without, which it must run."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda_on_host import builder, device, stand_in
from tests.cuda_on_host.builder import CompilationError, library
from tests.cuda_on_host.launching import Function, LaunchError

REVERSE = """
template <class T>
__global__ void reverse(const T* x, T* y, int count) {
    __shared__ Shared<T, 64> tile;
    int i = threadIdx.x;
    tile[i] = x[blockIdx.x * 64 + i];
    __syncthreads();
    y[blockIdx.x * 64 + i] = tile[63 - i];
    if (i >= count) y[i] = 0;
}
"""


@pytest.fixture(autouse=True)
def compiler():
    if device.on_gpu:
        pytest.skip("the harness is for machines without a GPU")
    with device.present():
        yield


def run(source: str, name: str, blocks: int = 3, threads: int = 64, count: int = 64, size: int | None = None) -> None:
    """Launch on arrays of numbers; the second is checked where the kernel reverses."""
    x = stand_in.asarray(np.arange(64 * blocks, dtype=np.float32))
    y = stand_in.empty(64 * blocks if size is None else size, np.float32)
    Function(source, name, (name,))((blocks,), (threads,), (x, y, np.int32(count)))
    if "reverse" in name:
        np.testing.assert_array_equal(y.get().reshape(-1, 64), x.get().reshape(-1, 64)[:, ::-1])


@pytest.mark.parametrize("blocks", [1, 100])
def test_a_correct_kernel_runs(blocks):
    run(REVERSE, "reverse<float>", blocks)


def test_fibers_switch_by_the_systems_means_too(monkeypatch):
    """What other processors than x86-64 and 64-bit Arm use."""
    source = f"#define OTHER_PROCESSOR\n{REVERSE}"  # a source of its own, so that nothing kept from above serves
    monkeypatch.setattr(builder, "FLAGS", (*builder.FLAGS, "-DFIBERS_BY_UCONTEXT"))
    run(source, "reverse<float>")


def test_a_missing_barrier_shows():
    with pytest.raises(LaunchError, match="a race"):
        run(REVERSE.replace("__syncthreads();", ""), "reverse<float>")


def test_a_barrier_that_some_threads_miss_shows():
    with pytest.raises(LaunchError, match=r"waits at line \d+ for threads that never come"):
        run(REVERSE.replace("__syncthreads();", "if (i < 63) __syncthreads();"), "reverse<float>")


def test_two_barriers_are_not_one():
    source = REVERSE.replace("__syncthreads();", "if (i < 63) {\n__syncthreads();\n} else {\n__syncthreads();\n}")
    with pytest.raises(LaunchError, match="different barriers"):
        run(source, "reverse<float>")


@pytest.mark.parametrize("index", ["i + 1", "-1"])
def test_an_index_outside_shared_memory_shows(index):
    with pytest.raises(LaunchError, match="an index outside shared memory"):
        run(REVERSE.replace("tile[i] =", f"tile[{index}] ="), "reverse<float>")


def test_writing_beside_shared_memory_through_a_pointer_shows():
    with pytest.raises(LaunchError, match="beside shared memory"):
        run(REVERSE.replace("tile[i] =", "if (i == 0) (&tile[63])[1] = 1; tile[i] ="), "reverse<float>")


def test_shared_memory_is_nan_at_the_start_of_every_block():
    """Also where the block before left it full of numbers."""
    source = REVERSE.replace("tile[i] = x[", "if (blockIdx.x == 0) tile[i] = x[")
    x, y = stand_in.asarray(np.zeros(192, np.float32)), stand_in.empty(192, np.float32)
    Function(source, "reverse<float>", ("reverse<float>",))((3,), (64,), (x, y, np.int32(64)))
    np.testing.assert_array_equal(np.isnan(y.get()), np.arange(192) >= 64)


@pytest.mark.parametrize("index", ["64 * 3", "-1"])
def test_writing_beside_an_array_shows(index):
    with pytest.raises(LaunchError, match="wrote beside an array"):
        run(REVERSE.replace("y[i] = 0", f"y[{index}] = 0"), "reverse<float>", count=63)


def test_threads_that_write_to_one_place_are_a_race():
    with pytest.raises(LaunchError, match="a race"):
        run(REVERSE.replace("if (i >= count) y[i] = 0;", "y[0] = i;"), "reverse<float>")


def test_a_thread_that_leaves_a_shuffle_out_shows():
    source = """
    template <class T>
    __global__ void add(const T* x, T* y, int) {
        if (threadIdx.x == 5) return;
        y[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, x[threadIdx.x], 1);
    }"""
    with pytest.raises(LaunchError, match="waits for its warp for threads that never come"):
        run(source, "add<float>")


def test_shuffles_hand_values_over_one_after_the_other():
    source = """
    template <class T>
    __global__ void total(const T* x, T* y, int) {
        T sum = x[blockIdx.x * 64 + threadIdx.x];
        for (int mask = 16; mask; mask /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, mask);
        y[blockIdx.x * 64 + threadIdx.x] = sum;
    }"""
    x, y = stand_in.asarray(np.arange(128, dtype=np.float32)), stand_in.empty(128, np.float32)
    Function(source, "total<float>", ("total<float>",))((2,), (64,), (x, y, np.int32(0)))
    np.testing.assert_array_equal(y.get(), np.repeat(x.get().reshape(4, 32).sum(axis=1), 32))


COPY = """
template <class T>
__global__ void copy(const T* x, T* y, int) {
    __shared__ Shared<T, 64> tile;
    tile.arrive(threadIdx.x, x + blockIdx.x * 64 + threadIdx.x, 1);
    host_commit();
    host_wait(0);
    y[blockIdx.x * 64 + threadIdx.x] = tile[threadIdx.x];
}
"""


@pytest.mark.parametrize("waits", [True, False])
def test_a_copy_arrives_when_it_is_waited_for(waits):
    x, y = stand_in.asarray(np.ones(64, np.float32)), stand_in.empty(64, np.float32)
    source = COPY if waits else COPY.replace("host_wait(0);", "")
    Function(source, "copy<float>", ("copy<float>",))((1,), (64,), (x, y, np.int32(0)))
    np.testing.assert_array_equal(y.get(), np.full(64, 1 if waits else np.nan, np.float32))


def test_fragments_multiply_as_the_ptx_manual_lays_them_out():
    """Also that operands lose all but ten bits: 1 + 2**-11 becomes 1 + 2**-10."""
    from minicnn.kernels.cuda import loading

    source = loading.source("convolution.cu") + """
    template <class T>
    __global__ void fragments(const T* a, const T* b, T* d) {
        int g = threadIdx.x / 4, t = threadIdx.x % 4;
        float left[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
        float right[2] = {b[t * 8 + g], b[(t + 4) * 8 + g]}, sums[4] = {};
        for (float& x : left) x = to_tf32(x);
        multiply_fragments(sums, left, right);
        for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
    }"""
    generator = np.random.default_rng(0)
    a, b = generator.integers(-9, 9, (16, 8)).astype(np.float32), generator.integers(-9, 9, (8, 8)).astype(np.float32)
    a[3, 5] = 1 + 2**-11
    d = stand_in.empty((16, 8), np.float32)
    Function(source, "fragments<float>", ("fragments<float>",))((1,), (32,), (*map(stand_in.asarray, (a, b)), d))
    a[3, 5] = 1 + 2**-10
    np.testing.assert_array_equal(d.get(), a @ b)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (64, "whose size in a kernel is not plain to see"),
        (np.int64(64), "the parameter is i of 4 bytes"),
        (np.float32(64), "the parameter is i of 4 bytes"),
    ],
)
def test_an_argument_of_another_type_is_refused(argument, message):
    x, y = stand_in.asarray(np.zeros(64, np.float32)), stand_in.empty(64, np.float32)
    with pytest.raises(LaunchError, match=message):
        Function(REVERSE, "reverse<float>", ("reverse<float>",))((1,), (64,), (x, y, argument))


@pytest.mark.parametrize("array", [np.zeros(64, np.float32), stand_in.asarray(np.zeros(64))], ids=["host", "float64"])
def test_an_array_that_the_kernel_cannot_read_is_refused(array):
    y = stand_in.empty(64, np.float32)
    with pytest.raises(LaunchError, match=r"no array on the device|an array of float64"):
        Function(REVERSE, "reverse<float>", ("reverse<float>",))((1,), (64,), (array, y, np.int32(64)))


@pytest.mark.parametrize(("grid", "block"), [((0,), (64,)), ((1, 65536), (64,)), ((1,), (1025,))])
def test_sizes_that_no_gpu_has_are_refused(grid, block):
    x = stand_in.asarray(np.zeros(64, np.float32))
    with pytest.raises(LaunchError, match=r"a grid of|a block of"):
        Function(REVERSE, "reverse<float>", ("reverse<float>",))(grid, block, (x, x, np.int32(64)))


def test_a_source_that_does_not_compile_says_why():
    with pytest.raises(CompilationError, match="reverse"):
        library(REVERSE.replace("int i =", "int j ="), ("reverse<float>",))


# --- the stand-in for CuPy -------------------------------------------------------------------------------------------


def test_device_arrays_never_become_numpys_on_their_own():
    x = stand_in.asarray(np.ones(3))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    for operation in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: np.where(x > 0, np.ones(3), x)):
        with pytest.raises(TypeError):
            operation()


def test_results_stay_on_the_device_and_copies_are_counted():
    before = stand_in.transfers.to_host, stand_in.transfers.to_device
    x = stand_in.asarray(np.arange(3.0))
    total = np.sum(np.exp(x) * np.float32(2) + 1)
    assert isinstance(total, stand_in.ndarray) and total.shape == ()
    assert stand_in.transfers.to_host == before[0]
    assert float(total) == pytest.approx(2 * np.exp(np.arange(3)).sum() + 3)
    assert (stand_in.transfers.to_host, stand_in.transfers.to_device) == (before[0] + 1, before[1] + 1)


def test_fresh_memory_is_nan_and_views_share_it():
    x = stand_in.empty((2, 3), np.float32)
    assert np.isnan(x.get()).all()
    x[1][:] = 5.0
    assert (x.get()[1] == 5).all() and x[1].base is not None and x.base is None
